// Creates elements without ever parsing text as HTML, since names and values come from configs.
function element(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) created.addEventListener(name.slice(2), value);
    else created.setAttribute(name, value === true ? "" : value);
  }
  created.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return created;
}

function definitions(pairs) {
  const kept = pairs.filter(([, value]) => value != null && value !== "");
  return element(
    "dl",
    {},
    kept.map(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]),
  );
}

const LINES_AT_ONCE = 40;

// columns: [{head, number, wrap}]; rows: arrays of text or elements. A long table shows its first rows and a button.
function plainTable(columns, rows) {
  const kind = (column) => (column.number ? "number" : column.wrap ? "wrap" : null);
  const head = columns.map((column) => element("th", { scope: "col", class: kind(column) }, column.head));
  const cell = (content, index) =>
    element(index ? "td" : "th", { scope: index ? null : "row", class: kind(columns[index]) }, content);
  const lines = rows.map((row) =>
    element(
      "tr",
      {},
      row.map((content, index) => cell(content ?? ABSENT, index)),
    ),
  );
  const body = element("tbody", {}, lines.slice(0, LINES_AT_ONCE));
  const table = element("table", {}, element("thead", {}, element("tr", {}, head)), body);
  const place = element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, table);
  const rest = lines.slice(LINES_AT_ONCE);
  if (rest.length) {
    const show = (event) => {
      event.target.remove();
      body.append(...rest);
    };
    place.append(element("button", { type: "button", class: "rest", onclick: show }, `Show ${plural(rest.length, "more row")}`));
  }
  return place;
}

function selector(label, options, pick, selected) {
  const items = options.map(([value, text]) =>
    element("option", { value, selected: String(value) === String(selected) }, text),
  );
  return element("label", {}, label, element("select", { onchange: (event) => pick(event.target.value) }, items));
}

// Shows a section and returns the element for its content.
function unhide(id) {
  const section = document.getElementById(id);
  section.hidden = false;
  const place = section.querySelector("div");
  place.replaceChildren();
  return place;
}
