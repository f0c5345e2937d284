"""Run by an environment that has nnU-Net: one fold for a time, then what the fold holds out.

python nnunet_training.py DATASET CONFIGURATION FOLD SECONDS; seconds of processor time; the
folders are nnU-Net's variables.
"""

import json
import sys
import time
from pathlib import Path

import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class SecondsTrainer(nnUNetTrainer):
    """nnU-Net's trainer, which ends after so many seconds of one core in place of 1000 epochs.

    The learning rate falls as it does there, by the share of the budget that is gone. Epochs, and
    with them the pseudo-validation after each, are left out: they change no weight of the last
    checkpoint, and their time goes to training.
    """

    seconds: float
    iterations = 0

    def run_training(self) -> None:
        """Train until the time is up and write checkpoint_final.pth."""
        self.on_train_start()
        self.network.train()
        # of the process, which has one thread: other work on the machine takes nothing away
        begun = time.process_time()
        while (gone := time.process_time() - begun) < self.seconds:
            self.lr_scheduler.step(self.num_epochs * gone / self.seconds)
            self.train_step(next(self.dataloader_train))
            self.iterations += 1
        self.current_epoch = 1
        self.on_train_end()


def main() -> None:
    """Train and predict one fold; raises what nnU-Net raises."""
    dataset, configuration, fold, seconds = sys.argv[1:]
    torch.set_num_threads(1)
    folder = Path(str(nnUNet_preprocessed)) / dataset
    plans = json.loads((folder / "nnUNetPlans.json").read_text()) | {"continue_training": False}
    facts = json.loads((folder / "dataset.json").read_text())
    trainer = SecondsTrainer(plans, configuration, int(fold), facts, device=torch.device("cpu"))
    trainer.seconds = float(seconds)
    trainer.run_training()
    images = trainer.iterations * trainer.batch_size
    print(f"fold {fold}: {trainer.iterations} iterations, {images} images in {seconds} s")
    trainer.perform_actual_validation(False)


if __name__ == "__main__":
    main()
