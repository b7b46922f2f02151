// The table of runs: picked by checkbox, sortable by any column, filtered by text, factor levels and status.
const MOST_LEVELS = 40; // a factor with more levels gets no list; the filter takes ranges of it
const ROWS_AT_ONCE = 100;

const has = (measure) => jobs.some((job) => job[measure] != null);
let rowsAtMost = ROWS_AT_ONCE;

const columns = [
  { head: "Run", value: (job) => shortName(job), run: true },
  { head: "Status", value: (job) => job.status, status: true },
  ...factors.map((factor, index) => ({
    head: factor.key,
    value: (job) => job.levels[index],
    text: (job) => level(job, index),
    number: factor.numeric,
  })),
  measured("Test\naccuracy, %", "test_accuracy"),
  measured(bestHead(), "best_test_accuracy"),
  measured("Training\naccuracy, %", "train_accuracy"),
  measured("Held-out\naccuracy, %", "val_accuracy"),
  { ...measured("Test\nloss", "test_loss"), text: (job) => loss(job.test_loss) },
  { ...measured("Training\nloss", "train_loss"), text: (job) => loss(job.train_loss) },
  { ...measured("Held-out\nloss", "val_loss"), text: (job) => loss(job.val_loss) },
  ...data.metrics.map((metric) => ({
    ...measured(metric.title, metric.name),
    text: (job) => metricText(metric)(job[metric.name]),
  })),
  {
    head: "Epochs",
    value: (job) => job.done,
    text: (job) => (job.done === job.epochs ? `${job.done}` : job.epochs == null ? `${job.done}` : `${job.done} of ${job.epochs}`),
    number: true,
    first: "descending",
  },
  {
    head: "Time",
    value: (job) => job.seconds,
    text: (job) => duration(job.seconds),
    number: true,
    first: "descending",
  },
].filter((column) => !column.measure || has(column.measure));
const oneLine = (head) => head.replace(/\n/g, " ");
const visibleColumns = () => columns.filter((column) => column.run || !view.hidden.includes(oneLine(column.head)));

function measured(head, measure) {
  return {
    head,
    measure,
    value: (job) => job[measure],
    text: (job) => percent(job[measure]),
    number: true,
    first: "descending",
  };
}

function bestHead() {
  return jobs.some((job) => job.picked_on === "val")
    ? "Test accuracy, %\nin best held-out epoch"
    : "Best test, %\n(picked on test)";
}

// A name that was shortened ends in a hash: the levels that it stands for are cut.
const CUT_NAME = /-[0-9a-f]{12}(-\d+)?$/;

// The name without the levels shown in the factors' columns, or the run's number if nothing readable is left.
function shortName(job) {
  if (factors.length && CUT_NAME.test(job.name)) return `run ${job.index ?? ""}`;
  const inColumns = new Set(factors.map((factor, index) => `${factor.key}=${level(job, index)}`));
  return (
    job.name
      .split(",")
      .filter((part) => !inColumns.has(part))
      .join(",") || `run ${job.index ?? ""}`
  );
}

// What tells a run apart from all others, for lists and legends.
function runLabel(number) {
  const job = jobs[number];
  return factors.length ? factors.map((factor, index) => `${leaf(factor.key)}=${level(job, index)}`).join(", ") : job.name;
}
const leaf = (key) => key.split(".").pop();

function togglePick(number, pick) {
  const others = view.picked.filter((other) => other !== number);
  const picked = pick ? [...others, number] : others;
  setView({ picked, curves: picked.length ? "picked" : view.curves === "picked" ? "" : view.curves });
}

function row(number) {
  const job = jobs[number];
  const box = element("input", {
    type: "checkbox",
    checked: view.picked.includes(number),
    "aria-label": `Pick ${job.name}`,
    onchange: (event) => togglePick(number, event.target.checked),
  });
  const cells = visibleColumns().map((column) => {
    if (column.run)
      return element(
        "td",
        {},
        element("span", { class: "run" }, [
          box,
          element("button", { type: "button", class: "name", title: job.name, tabindex: "-1" }, shortName(job)),
        ]),
      );
    if (column.status) return element("td", { class: job.status }, job.status);
    return element("td", { class: column.number ? "number" : null }, column.text(job));
  });
  return element("tr", { "data-number": number }, cells);
}

const rowOf = (number) => document.querySelector(`#table tr[data-number="${number}"]`);

function compareBy(column, descending) {
  return (a, b) => {
    const [first, second] = [column.value(jobs[a]), column.value(jobs[b])];
    if (first == null || second == null) return (first == null) - (second == null) || a - b; // missing values come last
    const order = typeof first === "string" ? first.localeCompare(second, "en", { numeric: true }) : first - second;
    return (descending ? -order : order) || a - b;
  };
}

function fillTable() {
  const [head, direction] = view.sort;
  const column = columns.find((other) => oneLine(other.head) === head);
  const order = column ? [...shown].sort(compareBy(column, direction === "descending")) : shown;
  const body = document.querySelector("#table tbody");
  body.replaceChildren(...order.slice(0, rowsAtMost).map(row));
  if (body.firstChild) body.firstChild.querySelector(".name").tabIndex = 0;
  const more = order.length - Math.min(order.length, rowsAtMost);
  const all = () => {
    rowsAtMost = rowsAtMost === ROWS_AT_ONCE ? 10 * ROWS_AT_ONCE : Infinity;
    fillTable();
  };
  const next = rowsAtMost === ROWS_AT_ONCE ? Math.min(more, 9 * ROWS_AT_ONCE) : more;
  document
    .getElementById("more")
    .replaceChildren(more ? element("button", { type: "button", onclick: all }, `Show ${plural(next, "more run")}`) : "");
}

function showCount() {
  const keys = jobs.length > 1 ? " Arrow keys move between runs, Enter opens one; checkboxes pick runs to compare." : "";
  const counted = isFiltered()
    ? `${shown.length.toLocaleString("en")} of ${plural(jobs.length, "run")} shown.`
    : `${plural(jobs.length, "run")}.${keys}`;
  const wrong = problems.map((problem) => element("span", { class: "failed" }, ` Filter: ${problem}.`));
  document.getElementById("count").replaceChildren(counted, ...wrong);
}

function showChips() {
  const chip = (text, drop) =>
    element("button", { type: "button", class: "chip", onclick: drop, "aria-label": `Remove ${text}` }, `${text} ×`);
  const ranges = Object.entries(view.ranges).filter(([key]) => quantity(key));
  const without = (key) => Object.fromEntries(Object.entries(view.ranges).filter(([other]) => other !== key));
  const only = element("label", { class: "check" }, [
    element("input", {
      type: "checkbox",
      checked: view.only,
      onchange: (event) => setView({ only: event.target.checked }),
    }),
    `show only the ${plural(view.picked.length, "picked run")}`,
  ]);
  document
    .getElementById("chips")
    .replaceChildren(
      ...ranges.map(([key, ends]) => chip(rangeText(key, ends), () => setView({ ranges: without(key) }))),
      ...(view.picked.length
        ? [only, chip("all picks", () => setView({ picked: [], only: false, curves: "" }))]
        : []),
    );
}

function sortBy(column) {
  const [head, direction] = view.sort;
  const same = head === oneLine(column.head);
  const next = same ? (direction === "descending" ? "ascending" : "descending") : (column.first ?? "ascending");
  setView({ sort: [oneLine(column.head), next] });
}

function headCell(column) {
  const [head, direction] = view.sort;
  const sorted = head === oneLine(column.head) ? direction : "none";
  return element(
    "th",
    { scope: "col", "aria-sort": sorted, class: column.number ? "number" : null },
    element("button", { type: "button", onclick: () => sortBy(column) }, column.head),
  );
}

function fillHead() {
  const at = document.activeElement?.closest?.("#table thead th")?.cellIndex;
  const line = document.querySelector("#table thead tr");
  line.replaceChildren(...visibleColumns().map(headCell));
  if (at !== undefined) line.children[at]?.firstChild.focus();
}

function moveFocus(event) {
  if (!event.target.classList.contains("name")) return;
  const here = event.target.closest("tr");
  const ends = { Home: here.parentNode.firstChild, End: here.parentNode.lastChild };
  const next = { ArrowDown: here.nextSibling, ArrowUp: here.previousSibling, ...ends }[event.key];
  if (!next) return;
  event.preventDefault();
  here.querySelector(".name").tabIndex = -1;
  next.querySelector(".name").tabIndex = 0;
  next.querySelector(".name").focus();
}

function columnChoice() {
  const boxes = columns
    .filter((column) => !column.run)
    .map((column) => {
      const head = oneLine(column.head);
      const toggle = (event) =>
        setView({ hidden: event.target.checked ? view.hidden.filter((other) => other !== head) : [...view.hidden, head] });
      const box = element("input", { type: "checkbox", checked: !view.hidden.includes(head), onchange: toggle });
      return element("label", { class: "check" }, box, head);
    });
  return element("details", { id: "columns" }, element("summary", {}, "Columns"), element("div", { class: "controls" }, boxes));
}

function showFilters() {
  const text = element("input", {
    type: "search",
    value: view.filter,
    placeholder: "words, accuracy > 99, lr between 0.001 and 0.01",
    oninput: (event) => setView({ filter: event.target.value }),
  });
  const statuses = Object.keys(data.statuses).map((status) => [status, status]);
  const status = selector("Status", [["", "any"], ...statuses], (value) => setView({ status: value }), view.status);
  const pick = (index) => (value) => {
    const { [index]: _, ...others } = view.levels;
    setView({ levels: value === "" ? others : { ...others, [index]: Number(value) } });
  };
  const lists = factors.map((factor, index) =>
    factor.levels.length > 1 && factor.levels.length <= MOST_LEVELS
      ? selector(
          factor.key,
          [["", "any"], ...factor.levels.map((name, number) => [number, name])],
          pick(index),
          view.levels[index] ?? "",
        )
      : null,
  );
  const clear = element("button", { type: "reset" }, "Show all");
  const form = document.getElementById("filters");
  form.append(element("label", { class: "long" }, "Filter", text), status, ...lists.filter(Boolean), clear);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    for (const choice of form.querySelectorAll("option")) choice.defaultSelected = choice.value === "";
    text.defaultValue = "";
    setView({ filter: "", status: "", levels: {}, ranges: {}, only: false });
  });
}

function showTable() {
  view.picked = view.picked.filter((number) => jobs[number]);
  filterJobs();
  showFilters();
  const body = element("tbody", {
    onkeydown: moveFocus,
    onclick: (event) => {
      if (!event.target.closest("input")) openRun(Number(event.target.closest("tr").dataset.number));
    },
  });
  document.getElementById("table").append(element("table", {}, element("thead", {}, element("tr")), body));
  document.getElementById("table").after(element("div", { id: "more", class: "controls" }), columnChoice());
  const fill = () => {
    fillHead();
    fillTable();
  };
  fill();
  showCount();
  showChips();
  listen(["shown", "sort", "hidden"], fill);
  listen(["filtered"], showCount);
  listen(["filtered", "picked"], showChips);
  listen(["picked"], () => {
    for (const line of body.children)
      line.querySelector("input").checked = view.picked.includes(Number(line.dataset.number));
  });
}
