// The table of runs: sortable by any column, filtered by factor level, status and name.
const MOST_LEVELS = 40; // a factor with more levels gets no list; use the name filter

const has = (measure) => jobs.some((job) => job[measure] != null);
const rowOf = new Map();

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
  {
    head: "Epochs",
    value: (job) => job.done,
    text: (job) => (job.done === job.epochs ? `${job.done}` : `${job.done} of ${job.epochs ?? "?"}`),
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

let sorted = { column: null, descending: false };

// The name without the levels shown in the factors' columns, or the run's number if nothing is left.
function shortName(job) {
  const inColumns = new Set(factors.map((factor, index) => `${factor.key}=${level(job, index)}`));
  return (
    job.name
      .split(",")
      .filter((part) => !inColumns.has(part))
      .join(",") || `run ${job.index ?? ""}`
  );
}

function row(job, number) {
  const cells = columns.map((column) => {
    if (column.run)
      return element(
        "td",
        {},
        element("button", { type: "button", class: "name", title: job.name, tabindex: "-1" }, shortName(job)),
      );
    if (column.status) return element("td", { class: job.status }, job.status);
    return element("td", { class: column.number ? "number" : null }, column.text(job));
  });
  return element("tr", { "data-number": number }, cells);
}

function compare(a, b) {
  const [first, second] = [sorted.column.value(jobs[a]), sorted.column.value(jobs[b])];
  if (first == null || second == null) return (first == null) - (second == null) || a - b; // missing values come last
  const order = typeof first === "string" ? first.localeCompare(second, "en", { numeric: true }) : first - second;
  return (sorted.descending ? -order : order) || a - b;
}

function fillTable() {
  const order = sorted.column ? [...shown].sort(compare) : shown;
  const body = document.querySelector("#table tbody");
  body.replaceChildren(...order.map((number) => rowOf.get(number)));
  for (const name of body.querySelectorAll(".name[tabindex='0']")) name.tabIndex = -1;
  if (body.firstChild) body.firstChild.querySelector(".name").tabIndex = 0;
  const all = `${plural(jobs.length, "run")}.${jobs.length > 1 ? " Arrow keys move between runs, Enter opens one." : ""}`;
  document.getElementById("count").textContent =
    shown.length === jobs.length ? all : `${shown.length.toLocaleString("en")} of ${plural(jobs.length, "run")} shown.`;
}

function sortBy(column, head) {
  const descending = sorted.column === column ? !sorted.descending : column.first === "descending";
  sorted = { column, descending };
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  fillTable();
}

function headCell(column) {
  const head = element("th", { scope: "col", "aria-sort": "none", class: column.number ? "number" : null });
  head.append(element("button", { type: "button", onclick: () => sortBy(column, head) }, column.head));
  return head;
}

function moveFocus(event) {
  const here = event.target.closest("tr");
  const ends = { Home: here?.parentNode.firstChild, End: here?.parentNode.lastChild };
  const next = { ArrowDown: here?.nextSibling, ArrowUp: here?.previousSibling, ...ends }[event.key];
  if (!next) return;
  event.preventDefault();
  here.querySelector(".name").tabIndex = -1;
  next.querySelector(".name").tabIndex = 0;
  next.querySelector(".name").focus();
}

function showFilters() {
  const name = element("input", {
    type: "search",
    oninput: (event) => setFilters({ words: event.target.value.trim().toLowerCase() }),
  });
  const statuses = Object.keys(data.statuses).map((status) => [status, status]);
  const status = selector("Status", [["", "any"], ...statuses], (value) => setFilters({ status: value }));
  const pick = (index) => (value) => {
    const { [index]: _, ...others } = filters.levels;
    setFilters({ levels: value === "" ? others : { ...others, [index]: Number(value) } });
  };
  const lists = factors.map((factor, index) =>
    factor.levels.length > 1 && factor.levels.length <= MOST_LEVELS
      ? selector(factor.key, [["", "any"], ...factor.levels.map((text, number) => [number, text])], pick(index))
      : null,
  );
  const clear = element("button", { type: "reset" }, "Show all");
  const form = document.getElementById("filters");
  form.append(element("label", {}, "Name contains", name), status, ...lists.filter(Boolean), clear);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setFilters({ levels: {}, status: "", words: "" }));
}

function showTable() {
  showFilters();
  jobs.forEach((job, number) => rowOf.set(number, row(job, number)));
  const head = element("thead", {}, element("tr", {}, columns.map(headCell)));
  const body = element("tbody", {
    onkeydown: moveFocus,
    onclick: (event) => openRun(Number(event.target.closest("tr").dataset.number)),
  });
  document.getElementById("table").append(element("table", {}, head, body));
  fillTable();
  listeners.push(fillTable);
}
