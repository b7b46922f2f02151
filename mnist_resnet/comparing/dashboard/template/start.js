// Builds the page.
showHeader();
showTable();
showPicked();
showGroups();
showSpread();
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
