// Comparison of sweeps: paired configs, and what changed.
function pairsTable(pair) {
  const visible = new Set(shown.map((number) => jobs[number].name));
  const rows = pair.pairs.filter(([name]) => visible.has(name)).map(([name, first, second, difference]) => [
    name,
    percent(first),
    percent(second),
    signed(difference == null ? null : 100 * difference),
  ]);
  return plainTable([words("config"), ...heads(pair.first, pair.second, "change of error, points")], rows);
}

// The pairs whose run of the first sweep, or one of the same name, is shown.
function shownPairs(pair) {
  const place = element("div");
  whenSeen(place, () => place.replaceChildren(pairsTable(pair)));
  listen(["shown"], place.redraw);
  return place;
}

function differenceText(pair) {
  if (!pair.count) return "No job completed in both, alike in all that they share.";
  const share = (end) => (end == null ? null : 100 * end);
  const mean = `${plural(pair.count, "job")} completed in both. The test error changed by ${signed(share(pair.mean))} percentage points on average`;
  return pair.interval[0] == null ? `${mean}.` : `${mean}, 95 % interval ${between(pair.interval.map(share), signed)}.`;
}

function showSweeps() {
  if (!data.pairs.length) return;
  const place = unhide("sweeps");
  for (const pair of data.pairs) {
    const changes = plainTable([words("what"), prose(pair.first), prose(pair.second)], pair.changes);
    place.append(
      element("h3", {}, `${pair.first} and ${pair.second}`),
      element("p", {}, differenceText(pair)),
      ...(pair.count ? [shownPairs(pair)] : []),
      element("h3", {}, "What changed in config, code and environment"),
      pair.changes.length ? changes : element("p", {}, "Nothing."),
    );
  }
}
