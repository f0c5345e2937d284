// Before anything is drawn: the theme that was chosen here earlier. A file: page may have no storage.
try {
  const chosen = localStorage.getItem("gutseg-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* without storage the system's theme holds */ }
