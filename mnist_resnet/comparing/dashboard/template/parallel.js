// Parallel coordinates: one line per run across factors and results. Drawn as plain lines in one trace per colour,
// whatever the number of runs, so that it needs no WebGL.
const SHADES = ["#00224e", "#2d446c", "#575d6d", "#7c7b78", "#a69d75", "#d3c164", "#fee838"]; // cividis
const DARK_SHADES = ["#4a6fb0", "#6684b0", "#8494a8", "#a0a193", "#bdaf7a", "#dcc75e", "#fee838"];
const WIDTH_OF_AXIS = 120;
const RESULTS = [
  ["error", "test error, %", (job) => (job.test_accuracy == null ? null : 100 * (1 - job.test_accuracy))],
  ["train", "training error, %", (job) => (job.train_accuracy == null ? null : 100 * (1 - job.train_accuracy))],
  ["loss", "test loss", (job) => job.test_loss],
  ["seconds", "time, s", (job) => job.seconds],
];

// A factor's levels at equal distances, by rank; runs of one level are spread a little, to show how many there are.
function factorAxis(factor, index) {
  const last = Math.max(1, factor.levels.length - 1);
  const jitter = (number) => ((((number * 0.618034) % 1) - 0.5) * 0.5) / (last + 4);
  const every = Math.ceil(factor.levels.length / 12);
  return {
    title: factor.key,
    place: (number) => jobs[number].levels[index] / last + jitter(number),
    ticks: factor.levels.flatMap((text, index) => (index % every ? [] : [[index / last, text]])),
  };
}

function resultAxis([, title, value]) {
  const present = jobs
    .map(value)
    .filter((result) => result != null && result > 0)
    .map(Math.log10);
  if (!present.length) return null;
  const [low, high] = [present.reduce((a, b) => Math.min(a, b)), present.reduce((a, b) => Math.max(a, b))];
  const place = (number) => {
    const result = value(jobs[number]);
    return result == null ? null : result <= 0 ? 0 : high > low ? (Math.log10(result) - low) / (high - low) : 0.5;
  };
  const ticks = (high > low ? [0, 0.25, 0.5, 0.75, 1] : [0.5]).map((share) => [
    share,
    significant(10 ** (low + share * (high - low)), 2),
  ]);
  return { title, place, ticks };
}

function parallelPlot(axes, colouring) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const shades = dark ? DARK_SHADES : SHADES;
  const traces = shades.map((shade) => ({
    x: [],
    y: [],
    customdata: [],
    type: "scatter",
    mode: "lines",
    line: { color: shade, width: shown.length > 200 ? 1 : 1.5 },
    opacity: Math.max(0.25, Math.min(0.9, 60 / Math.sqrt(shown.length) / 6)),
    hoverinfo: "none",
  }));
  for (const number of shown) {
    const places = axes.map((item) => item.place(number));
    const share = colouring.place(number);
    if (share == null || places.includes(null)) continue;
    const trace = traces[Math.min(shades.length - 1, Math.floor(share * shades.length))];
    trace.x.push(...places.map((_, index) => index), null);
    trace.y.push(...places, null);
    trace.customdata.push(...places.map(() => number), null);
  }
  const titles = axes.map((item, index) => ({
    x: index,
    y: 1.1,
    yanchor: "bottom",
    showarrow: false,
    text: `<b>${inert(item.title)}</b>`,
  }));
  const tickLabels = axes.flatMap((item, index) =>
    item.ticks.map(([y, text]) => ({
      x: index,
      y,
      xanchor: "left",
      xshift: 4,
      showarrow: false,
      text: inert(text.length > 16 ? `${text.slice(0, 15)}…` : text),
      bgcolor: faded(colour("paper"), 0.75),
      borderpad: 1,
      font: { size: 11 },
    })),
  );
  const axisLines = axes.map((_, index) => ({
    type: "line",
    x0: index,
    x1: index,
    y0: -0.03,
    y1: 1.03,
    line: { color: colour("quiet"), width: 1 },
  }));
  return {
    traces,
    layout: layout({
      height: 420,
      hovermode: "closest",
      annotations: [...titles, ...tickLabels],
      shapes: axisLines,
      dragmode: false,
      xaxis: { visible: false, fixedrange: true, range: [-0.25, axes.length - 1 + 0.75] },
      yaxis: { visible: false, fixedrange: true, range: [-0.08, 1.2] },
    }),
    description: `Parallel coordinates of ${shown.length} runs over ${axes.map((item) => item.title).join(", ")}`,
  };
}

function showParallel() {
  const results = RESULTS.map((result) => resultAxis(result)).filter(Boolean);
  const axes = [...factors.map(factorAxis), ...results];
  if (jobs.length < 2 || !results.length || axes.length < 3) return;
  let colouring = results[0];
  const inner = plot(() => parallelPlot(axes, colouring));
  inner.style.minWidth = `${axes.length * WIDTH_OF_AXIS}px`;
  const place = unhide("parallel");
  place.append(
    element(
      "div",
      { class: "controls" },
      selector(
        "Colour by",
        axes.map((item, index) => [index, item.title]),
        (index) => {
          colouring = axes[index];
          inner.redraw();
        },
        axes.indexOf(colouring),
      ),
    ),
    element("div", { class: "plot wide", tabindex: "0", role: "group", "aria-label": "Parallel coordinates" }, inner),
    element(
      "p",
      { class: "quiet" },
      "One line per run shown in the table above; runs without a test result are left out. Results have logarithmic axes with the best values at the bottom; dark is low, yellow is high. The filters above the table select the lines.",
    ),
  );
  listeners.push(() => inner.redraw());
}
