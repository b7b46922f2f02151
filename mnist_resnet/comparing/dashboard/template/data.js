// The page's data, number formats, and the view: what is shown of the data.
const data = JSON.parse(document.getElementById("data").textContent);
const jobs = data.jobs;
const factors = data.factors;

const ABSENT = "–";
const minus = (text) => text.replace("-", "−");
// Half-way cases go to the even digit, as in the printed table; `toFixed` and `toPrecision` take them up.
const isEvenBeforeHalf = (exact) => /[02468]50{59}$/.test(exact.replace(".", ""));
const fixed = (value, digits) => {
  const exact = value.toFixed(digits + 60);
  return isEvenBeforeHalf(exact) ? exact.slice(0, -60) : value.toFixed(digits);
};
const rounded = (value, digits) => {
  const [exact, exponent] = value.toExponential(digits + 59).split("e");
  return Number(isEvenBeforeHalf(exact) ? `${exact.slice(0, -60)}e${exponent}` : value.toPrecision(digits));
};
const percent = (fraction, digits = 2) => (fraction == null ? ABSENT : fixed(100 * fraction, digits));
const significant = (value, digits = 3) => (value == null ? ABSENT : minus(String(rounded(value, digits))));
// A difference with its sign, by which it can't be taken for a value.
const change = (value, digits = 3) => (value > 0 ? `+${significant(value, digits)}` : significant(value, digits));
const loss = (value) => (value == null ? ABSENT : rounded(value, 3).toPrecision(3));
const duration = (seconds) => {
  if (seconds == null) return ABSENT;
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
};
const probabilityText = (probability) => (probability > 0.9995 ? "> 99.9 %" : `${fixed(100 * probability, 1)} %`);
const metricText = (metric) => (value) =>
  value == null ? ABSENT : metric.share ? percent(value) : significant(value, 4);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const NARROW = "(max-width: 48rem)"; // as in page.css; plots then write their labels above the rows
// Whether a run's task reports when it likes, so that it counts no epochs.
const isReported = (job) => job.epochs == null && data.metrics.length > 0;
const isSeed = (key) => key === "seed" || key.startsWith("seeds.");
const level = (job, factor) => factors[factor].levels[job.levels[factor]];

// The view is kept in the address, so that a link or a reload shows the same. Fields at their usual value are left out.
const FILTERS = ["filter", "status", "levels", "ranges", "only"];
const USUAL = {
  filter: "", // words and conditions, see filter.js
  status: "",
  levels: {}, // level number by factor number
  ranges: {}, // [lowest, highest] by quantity, dragged on the parallel axes
  only: false, // show the picked runs only
  picked: [], // numbers of the runs picked by checkbox
  hidden: [], // heads of the hidden columns of the table
  sort: [], // head of a column, then "descending" or "ascending"
  curves: "", // "" for groups, "runs" or "picked" for a curve each
  by: null, // numbers of the factors that group the curves
  metric: "test_accuracy",
  band: "range",
  log: true,
  plot: "scatter",
  x: "",
  y: "",
  colour: "",
  shade: "",
  reload: true,
};
const address = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
const view = Object.fromEntries(Object.entries(USUAL).map(([name, usual]) => [name, recalled(name, usual)]));

function recalled(name, usual) {
  const text = address.get(name);
  if (text == null || typeof usual === "string") return text ?? usual;
  try {
    const value = JSON.parse(text);
    const alike = usual === null || (typeof value === typeof usual && Array.isArray(value) === Array.isArray(usual));
    return value !== null && alike ? value : usual;
  } catch {
    return usual; // an address that was cut or typed wrongly
  }
}

function writeAddress() {
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const changed = Object.entries(view).filter(([name, value]) => text(value) !== text(USUAL[name]));
  const fragment = new URLSearchParams(changed.map(([name, value]) => [name, text(value)])).toString();
  history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname);
}

let shown = [];
const listeners = [];

// Calls `act` when one of these fields of the view changes; "filtered" stands for any filter, "shown" for the runs that
// are left: most keys of a condition leave the same ones.
const listen = (fields, act) => listeners.push({ fields, act });

function setView(change) {
  Object.assign(view, change);
  const fields = Object.keys(change);
  if (fields.some((name) => FILTERS.includes(name) || (name === "picked" && view.only))) {
    const before = shown;
    filterJobs();
    const isSame = shown.length === before.length && shown.every((number, index) => number === before[index]);
    fields.push("filtered", ...(isSame ? [] : ["shown"]));
  }
  writeAddress();
  for (const listener of listeners) if (listener.fields.some((name) => fields.includes(name))) listener.act();
}
