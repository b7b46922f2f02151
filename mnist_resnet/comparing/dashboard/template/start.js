// Builds the page.
showHeader();
showTable();
showGroups();
showClaims();
showCurves();
showEffects();
showParallel();
showMistakes();
showSweeps();
showSections();
document.documentElement.dataset.ready = "yes";
