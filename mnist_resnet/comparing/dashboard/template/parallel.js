// Parallel coordinates: one line a run, over factors and what came of them. Drawn as plain lines, eight traces for any
// number of runs, so that it needs no WebGL.
const SHADES = ["#00224e", "#2d446c", "#575d6d", "#7c7b78", "#a69d75", "#d3c164", "#fee838"]; // cividis
const DARK_SHADES = ["#4a6fb0", "#6684b0", "#8494a8", "#a0a193", "#bdaf7a", "#dcc75e", "#fee838"];
const WIDTH_OF_AXIS = 120;
const RESULTS = [
  ["error", "test error, %", (job) => (job.test_accuracy == null ? null : 100 * (1 - job.test_accuracy))],
  ["train", "training error, %", (job) => (job.train_accuracy == null ? null : 100 * (1 - job.train_accuracy))],
  ["loss", "test loss", (job) => job.test_loss],
  ["seconds", "time, s", (job) => job.seconds],
];

// A factor's levels at equal distances, of many numbers by rank; runs of one level a little apart, so that one sees how many.
function factorAxis(factor, at) {
  const last = Math.max(1, factor.levels.length - 1);
  const apart = (number) => ((((number * 0.618034) % 1) - 0.5) * 0.5) / (last + 4);
  const every = Math.ceil(factor.levels.length / 12);
  return {
    title: factor.key,
    place: (number) => jobs[number].levels[at] / last + apart(number),
    ticks: factor.levels.flatMap((text, index) => (index % every ? [] : [[index / last, text]])),
  };
}

function resultAxis([, title, value]) {
  const present = jobs
    .map(value)
    .filter((found) => found != null && found > 0)
    .map(Math.log10);
  if (!present.length) return null;
  const [low, high] = [present.reduce((a, b) => Math.min(a, b)), present.reduce((a, b) => Math.max(a, b))];
  const place = (number) => {
    const found = value(jobs[number]);
    return found == null ? null : found <= 0 ? 0 : high > low ? (Math.log10(found) - low) / (high - low) : 0.5;
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
    const places = axes.map((one) => one.place(number));
    const share = colouring.place(number);
    if (share == null || places.includes(null)) continue;
    const trace = traces[Math.min(shades.length - 1, Math.floor(share * shades.length))];
    trace.x.push(...places.map((_, at) => at), null);
    trace.y.push(...places, null);
    trace.customdata.push(...places.map(() => number), null);
  }
  const above = axes.map((one, at) => ({
    x: at,
    y: 1.1,
    yanchor: "bottom",
    showarrow: false,
    text: `<b>${inert(one.title)}</b>`,
  }));
  const beside = axes.flatMap((one, at) =>
    one.ticks.map(([y, text]) => ({
      x: at,
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
  const uprights = axes.map((_, at) => ({
    type: "line",
    x0: at,
    x1: at,
    y0: -0.03,
    y1: 1.03,
    line: { color: colour("quiet"), width: 1 },
  }));
  return {
    traces,
    layout: layout({
      height: 420,
      hovermode: "closest",
      annotations: [...above, ...beside],
      shapes: uprights,
      dragmode: false,
      xaxis: { visible: false, fixedrange: true, range: [-0.25, axes.length - 1 + 0.75] },
      yaxis: { visible: false, fixedrange: true, range: [-0.08, 1.2] },
    }),
    description: `Parallel coordinates of ${shown.length} runs over ${axes.map((one) => one.title).join(", ")}`,
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
        axes.map((one, at) => [at, one.title]),
        (at) => {
          colouring = axes[at];
          inner.redraw();
        },
        axes.indexOf(colouring),
      ),
    ),
    element("div", { class: "plot wide", tabindex: "0", role: "group", "aria-label": "Parallel coordinates" }, inner),
    element(
      "p",
      { class: "quiet" },
      "One line is one run that the table above shows; those without a test result have none. Results stand on logarithmic axes, best at the bottom; dark is low, yellow high. The filters above the table choose lines.",
    ),
  );
  listeners.push(() => inner.redraw());
}
