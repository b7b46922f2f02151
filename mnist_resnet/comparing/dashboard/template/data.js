// The page's data, how numbers are written, and which runs are shown.
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
const surely = (probability) => (probability > 0.9995 ? "> 99.9 %" : `${(100 * probability).toFixed(1)} %`);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const ABOVE = "(max-width: 48rem)"; // the width from which page.css stacks things, and plots write their labels above the rows
const level = (job, factor) => factors[factor].levels[job.levels[factor]];

// What the reader filters by; every section that depends on it is told when it changes.
const chosen = { levels: {}, status: "", words: "" };
let shown = jobs.map((_, number) => number);
const listeners = [];

function isShown(job) {
  if (chosen.status && job.status !== chosen.status) return false;
  for (const [factor, wanted] of Object.entries(chosen.levels)) if (job.levels[factor] !== wanted) return false;
  return !chosen.words || job.name.toLowerCase().includes(chosen.words);
}

function choose(change) {
  Object.assign(chosen, change);
  shown = jobs.flatMap((job, number) => (isShown(job) ? [number] : []));
  for (const listener of listeners) listener();
}
