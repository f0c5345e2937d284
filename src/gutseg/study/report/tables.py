"""The tables of a comparison; TABLES says which there are and whose shape each has."""

from gutseg.registry import Spec
from gutseg.study.report import papers as papers
from gutseg.study.report import thesis as thesis
from gutseg.study.report.curves import curves
from gutseg.study.report.ranking import main, networks
from gutseg.study.report.weights import weights

TABLES = {
    "main": Spec(main, "losses by score"),
    "networks": Spec(networks, "the best losses with a second network"),
    "T1": Spec(thesis.four, "networks × losses (thesis 000, tables 4.3 and 4.6)"),
    "T2": Spec(thesis.four, "the best networks × losses (thesis 000, tables 4.4 and 4.7)"),
    "T3": Spec(thesis.per_class, "IoU of every class (thesis 000, tables 4.5 and 4.9)"),
    "T4": Spec(thesis.sums, "sums of losses (thesis 000, tables 4.8 and 4.10)"),
    "T5": Spec(weights, "class shares and weights (thesis 000, tables 3.2, 3.3 and 4.11)"),
    "T6": Spec(thesis.weight_functions, "weight functions (thesis 000, table 4.12)"),
    "T7": Spec(thesis.bootstrapping, "number of hard pixels (thesis 000, table 4.13)"),
    "T8": Spec(thesis.hard_pixels, "classes of the hard pixels (thesis 000, tables 3.1 and 4.14)"),
    "T9": Spec(thesis.combinations, "combinations (thesis 000, tables 4.15 to 4.18)"),
    "T10": Spec(thesis.binary, "foreground against background (thesis 000, table 4.19)"),
    "T11": Spec(thesis.background_reuse, "background reuse (thesis 000, tables 4.20 and 4.21)"),
    "U1": Spec(papers.augmentation, "augmentation (course paper 001, section V.D)"),
    "U2": Spec(papers.depth, "depth of the network (course paper 001, section V.E)"),
    "U3": Spec(papers.protocol_001, "losses (course paper 001, table 8)"),
    "U4": Spec(papers.attention, "attention (course paper 001, section II)"),
    "U5": Spec(papers.data_statistics, "the data (course paper 001, tables 3 to 6)"),
    "G1": Spec(papers.patches, "networks × patches (paper 003, table 1)"),
    "G2": Spec(papers.lr_by_patch, "losses × learning rate × patch (paper 003, tables 2 and 3)"),
    "G3": Spec(papers.distribution, "spread over learning rates and patches (paper 003, fig. 3)"),
    "M1": Spec(papers.accuracy, "pixel accuracy (report 002)"),
    "S1": Spec(curves, "value and gradient of losses by parameter (survey 004)"),
}
