// Comparison of sweeps: paired configs, and what changed.
function pairsTable(pair) {
  const { what, unit, factor } = data.effect_unit;
  const value = metricText({ share: factor === 100 });
  const visible = new Set(shown.map((number) => jobs[number].name));
  const rows = pair.pairs
    .filter(([name]) => visible.has(name))
    .map(([name, first, second, difference]) => [name, value(first), value(second), effectText(difference)]);
  const changed = ["change of", [what, unit].filter(Boolean).join(", ")].join(" ");
  return plainTable([words("config"), ...heads(pair.first, pair.second, changed)], rows);
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
  const { what, unit } = data.effect_unit;
  const inUnit = unit === "points" ? " percentage points" : unit && ` ${unit}`;
  const mean = `${plural(pair.count, "job")} completed in both. The ${what} changed by ${effectText(pair.mean)}${inUnit} on average`;
  return pair.interval[0] == null ? `${mean}.` : `${mean}, 95 % interval ${between(pair.interval, effectText)}.`;
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
