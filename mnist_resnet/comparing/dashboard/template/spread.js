// What is known of the spread between runs: each source of randomness, and seeds that were added until it was known.
function showSpread() {
  if (!data.spread.length) return;
  const isNumber = (rows, column) => rows.every((row) => /^([+−-]?[\d.]+|–)$/.test(row[column]));
  unhide("spread").append(
    ...data.spread.flatMap(({ title, lines, heads, rows }) => [
      element("h3", {}, title),
      plainTable(heads.map((head, column) => ({ head, number: isNumber(rows, column) })), rows),
      ...lines.map((line) => element("p", { class: "quiet" }, line)),
    ]),
  );
}
