// Builds the page.
showHeader();
showTable();
showPicked();
showGroups();
showClaims();
showCurves();
showEffects();
showSearch();
showExplore();
showParallel();
showMistakes();
showSweeps();
showSections();
document.documentElement.dataset.ready = "yes";
