// Comparison of sweeps: paired configs, and what changed.
function pairsTable(pair) {
  const rows = pair.pairs.map(([name, first, second, difference]) => [
    name,
    percent(first),
    percent(second),
    signed(difference == null ? null : 100 * difference),
  ]);
  const table = plainTable([words("config"), ...heads(pair.first, pair.second, "change of error, points")], rows);
  if (rows.length > 15) table.classList.add("tall");
  return table;
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
      ...(pair.count ? [pairsTable(pair)] : []),
      element("h3", {}, "What changed in config, code and environment"),
      pair.changes.length ? changes : element("p", {}, "Nothing."),
    );
  }
}
