// Which runs are shown, and the quantities that filters and plots know: factors and results.
const RESULTS = [
  ["test_accuracy", "test accuracy, %", (job) => scaled(job.test_accuracy)],
  ["best_test_accuracy", "best test accuracy, %", (job) => scaled(job.best_test_accuracy)],
  ["train_accuracy", "training accuracy, %", (job) => scaled(job.train_accuracy)],
  ["val_accuracy", "held-out accuracy, %", (job) => scaled(job.val_accuracy)],
  ["test_error", "test error, %", (job) => flipped(job.test_accuracy)],
  ["train_error", "training error, %", (job) => flipped(job.train_accuracy)],
  ["test_loss", "test loss", (job) => job.test_loss],
  ["train_loss", "training loss", (job) => job.train_loss],
  ["val_loss", "held-out loss", (job) => job.val_loss],
  ...data.metrics.map(({ name, title, share }) => [
    name,
    title,
    (job) => (share ? scaled(job[name]) : job[name]),
  ]),
  ["seconds", "time, s", (job) => job.seconds],
  ["epochs", "epochs", (job) => job.done || null],
  ["trial", "number of the run", (job) => job.index],
];
const scaled = (share) => (share == null ? null : Number((100 * share).toPrecision(6)));
const flipped = (share) => (share == null ? null : Number((100 * (1 - share)).toPrecision(6)));

const quantities = [
  ...factors.map((factor, index) => ({
    key: factor.key,
    name: factor.key,
    factor: index,
    numeric: factor.numeric,
    value: (job) => (factor.numeric ? Number(level(job, index)) : job.levels[index]),
  })),
  ...RESULTS.map(([key, name, value]) => ({ key, name, numeric: true, value })),
].filter(({ value }) => jobs.some((job) => value(job) != null));
const quantity = (key) => quantities.find((item) => item.key === key);

const resultText = (item, job) => {
  const value = item.value(job);
  return item.name.endsWith("%") && value != null ? fixed(value, 2) : significant(value, 4);
};

const plain = (text) => text.toLowerCase().replace(/,.*$/, "").replace(/[_-]/g, " ").trim();

// The quantity that a name means: a whole name, the last part of a dotted key, or words in a name; test before training.
function named(text) {
  const wanted = plain(text);
  const names = quantities.map((item) => [item, [plain(item.key), plain(item.name), plain(item.key.split(".").pop())]]);
  const found = [(name) => name === wanted, (name) => name.includes(wanted)].map((fits) =>
    names.find(([, all]) => all.some(fits)),
  );
  return (found[0] ?? found[1])?.[0];
}

const CONDITION = /^(.+?)\s*(<=|>=|≤|≥|!=|<|>|=|\bbetween\b)\s*(.+)$/i;

// One part of the filter's text: {fits} or {problem}. A part without comparison is looked for in the runs' names.
function condition(part) {
  if (/(?:[<>=≤≥]|\bbetween)\s*$/i.test(part)) return { problem: `“${part}” wants a value` };
  const match = part.match(CONDITION);
  const words = (job) => job.name.toLowerCase().includes(part.toLowerCase());
  if (!match) return { fits: words };
  const [, name, sign, text] = match;
  const item = named(name);
  if (!item) return { problem: `nothing is named “${name}”` };
  if (sign === "=" || sign === "!=") {
    const same = (job) =>
      item.factor !== undefined && level(job, item.factor) === text
        ? true
        : item.numeric && item.value(job) === Number(text);
    return { fits: (job) => item.value(job) != null && same(job) === (sign === "=") };
  }
  const bounds = text.split(/\s+(?:and|to)\s+|\s*\.\.\s*/).map(Number);
  const wanted = sign.toLowerCase() === "between" ? 2 : 1;
  if (bounds.length !== wanted || bounds.some(Number.isNaN))
    return { problem: `“${part}” wants ${wanted === 2 ? "two numbers: between 1 and 2" : "a number"}` };
  if (!item.numeric) return { problem: `${item.name} is no number` };
  const [low, high] = [...bounds].sort((a, b) => a - b);
  const tests = { "<": (x) => x < low, "<=": (x) => x <= low, ">": (x) => x > low, ">=": (x) => x >= low };
  const test = tests[sign.replace("≤", "<=").replace("≥", ">=")] ?? ((x) => x >= low && x <= high);
  return { fits: (job) => item.value(job) != null && test(item.value(job)) };
}

let problems = [];

function filterJobs() {
  const parts = view.filter
    .split(/[,;]|\s+and\s+(?=[^\d.+−-])/i)
    .map((part) => part.trim())
    .filter(Boolean);
  // a run's name has commas: the whole text may be a part of one
  const whole = view.filter.trim().toLowerCase();
  const comma = view.filter.match(/(?:[<>=≤≥]|\bbetween\b)\s*([\d.+−-]*\d),(\d+)(?!\w)/i);
  const conditions = comma
    ? [{ problem: `“${comma[1]},${comma[2]}” has a comma, which begins another condition; write ${comma[1]}.${comma[2]}` }]
    : parts.map(condition);
  problems = conditions.flatMap(({ problem }) => problem ?? []);
  const tests = conditions.filter(({ fits }) => fits).map(({ fits }) => fits);
  const ranges = Object.entries(view.ranges)
    .map(([key, ends]) => [quantity(key), ends])
    .filter(([item, ends]) => item && Array.isArray(ends));
  const levels = Object.entries(view.levels).filter(([factor]) => factors[factor]);
  const picked = new Set(view.picked);
  shown = jobs.flatMap((job, number) => {
    if (view.status && job.status !== view.status) return [];
    if (view.only && picked.size && !picked.has(number)) return [];
    if (levels.some(([factor, chosen]) => job.levels[factor] !== chosen)) return [];
    if (ranges.some(([item, [low, high]]) => !(item.value(job) >= low && item.value(job) <= high))) return [];
    const fits = tests.every((test) => test(job)) || (parts.length > 1 && job.name.toLowerCase().includes(whole));
    return fits ? [number] : [];
  });
}

const isFiltered = () => shown.length < jobs.length;

// What a range of a quantity is called.
function rangeText(key, [low, high]) {
  const item = quantity(key);
  if (item.numeric) return `${item.name}: ${significant(low, 4)} to ${significant(high, 4)}`;
  return `${item.name}: ${factors[item.factor].levels.slice(low, high + 1).join(", ")}`;
}
