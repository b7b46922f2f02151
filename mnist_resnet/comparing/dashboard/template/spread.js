// What is known of the spread between runs: each source of randomness, and seeds that were added until it was known.
const SPREAD_OF_ALL =
  "These figures are of all runs of a config, also of those that the filter hides: runs that were chosen by their results spread less.";

function fillSpread(place) {
  const isNumber = (rows, column) => rows.every((row) => /^([+−-]?[\d.]+|–)$/.test(row[column]));
  place.replaceChildren(
    ...data.spread.flatMap(({ title, lines, heads, rows }) => {
      const kept = heads[0] === "config" ? rows.filter(([config]) => hasShown(...levelsOf(config))) : rows;
      const columns = heads.map((head, column) => ({ head, number: isNumber(rows, column) }));
      return [
        element("h3", {}, title),
        kept.length ? plainTable(columns, kept) : element("p", {}, "None of the shown runs is in this part."),
        ...lines.map((line) => element("p", { class: "quiet" }, line)),
      ];
    }),
    ...(isFiltered() ? [element("p", { class: "quiet" }, SPREAD_OF_ALL)] : []),
  );
}

function showSpread() {
  if (!data.spread.length) return;
  const place = unhide("spread");
  whenSeen(place, () => fillSpread(place));
  listen(["shown"], place.redraw);
}
