// The page's data, number formats, and the selection of shown runs.
const data = JSON.parse(document.getElementById("data").textContent);
const jobs = data.jobs;
const factors = data.factors;

const ABSENT = "–";
const percent = (fraction, digits = 2) => (fraction == null ? ABSENT : (100 * fraction).toFixed(digits));
const significant = (value, digits = 3) => (value == null ? ABSENT : String(Number(value.toPrecision(digits))));
const loss = (value) => (value == null ? ABSENT : value.toPrecision(3));
const duration = (seconds) => {
  if (seconds == null) return ABSENT;
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
};
const probabilityText = (probability) => (probability > 0.9995 ? "> 99.9 %" : `${(100 * probability).toFixed(1)} %`);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const NARROW = "(max-width: 48rem)"; // as in page.css; plots then write their labels above the rows
const level = (job, factor) => factors[factor].levels[job.levels[factor]];

// The current filters; `listeners` are called when they change.
const filters = { levels: {}, status: "", words: "" };
let shown = jobs.map((_, number) => number);
const listeners = [];

function isShown(job) {
  if (filters.status && job.status !== filters.status) return false;
  for (const [factor, level] of Object.entries(filters.levels)) if (job.levels[factor] !== level) return false;
  return !filters.words || job.name.toLowerCase().includes(filters.words);
}

function setFilters(change) {
  Object.assign(filters, change);
  shown = jobs.flatMap((job, number) => (isShown(job) ? [number] : []));
  for (const listener of listeners) listener();
}
