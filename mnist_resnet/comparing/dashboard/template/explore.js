// Any quantity against any other: points, slices by every factor, a contour over two numeric factors; importance.
const MOST_COLOURS = 8;
const MOST_SLICES = 12;
const MOST_GRID_LINES = 60; // of a contour, across and up: its cells are as many as runs squared where each run has values of its own
const LIGHT_SHADES = ["#003f7d", "#33659b", "#66819f", "#7f7f7f", "#9c7a4e", "#b0672a", "#b34700"];
const DARK_SHADES = ["#58a6ff", "#86b4e8", "#a9bccf", "#bdbdbd", "#d6b48f", "#eba55f", "#ff9636"];
const SHADES = () => (matchMedia("(prefers-color-scheme: dark)").matches ? DARK_SHADES : LIGHT_SHADES);
const shadeScale = () => SHADES().map((shade, index, all) => [index / (all.length - 1), shade]);

const isFactor = (item) => item.factor !== undefined;
const results = quantities.filter((item) => !isFactor(item));
const RESULT_FIRST = ["test_error", "test_loss", "train_error", "train_loss"];
const chosenY = () => quantity(view.y) ?? quantity(data.search?.key) ?? RESULT_FIRST.map(quantity).find(Boolean) ?? results[0];
const chosenX = () => quantity(view.x) ?? quantities.find(isFactor) ?? quantity("trial") ?? results[0];

const spansDecades = (values) => {
  const [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), 0)];
  return low > 0 && high / low >= 20;
};

// A quantity's positions and axis; the levels of a factor that is no number stand side by side, its runs spread a little.
function positions(item, numbers) {
  const spread = (number) => (((number * 0.618034) % 1) - 0.5) * 0.3;
  if (!item.numeric) {
    const names = factors[item.factor].levels;
    return {
      values: numbers.map((number) => item.value(jobs[number]) + spread(number)),
      axis: axis({
        title: { text: item.name },
        tickmode: "array",
        tickvals: names.map((_, index) => index),
        ticktext: names.map(inert),
        range: [-0.6, names.length - 0.4],
      }),
    };
  }
  const values = numbers.map((number) => item.value(jobs[number]));
  return { values, axis: valueAxis(values, spansDecades(values), { title: { text: item.name } }) };
}

const measuredRuns = (...items) =>
  shown.filter((number) => items.every((item) => Number.isFinite(item.value(jobs[number]))));
const isCompleted = (number) => jobs[number].status === "completed";
// The last figures of a run that failed, diverged or goes on are no results.
const completedRuns = (...items) => measuredRuns(...items).filter(isCompleted);

// Traces of points: one for each level of a factor with few levels, else one with a scale of shades.
function pointTraces(numbers, xs, ys, colouring, more = {}) {
  const hover = (chosen) =>
    chosen.map((number) => inert(isCompleted(number) ? runLabel(number) : `${runLabel(number)} (${jobs[number].status})`));
  const symbols = (chosen, symbol) =>
    chosen.map((index) => (isCompleted(numbers[index]) ? symbol : `${symbol}-open`));
  const trace = (chosen, marker, name) => ({
    x: chosen.map((index) => xs[index]),
    y: chosen.map((index) => ys[index]),
    name: inert(name),
    text: hover(chosen.map((index) => numbers[index])),
    customdata: chosen.map((index) => numbers[index]),
    type: "scatter",
    mode: "markers",
    marker: {
      size: 8,
      opacity: numbers.length > 300 ? 0.5 : 0.85,
      ...marker,
      symbol: symbols(chosen, marker.symbol ?? "circle"),
    },
    hovertemplate: "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
    showlegend: Boolean(name),
    ...more,
  });
  const all = numbers.map((_, index) => index);
  if (!colouring) return [trace(all, { color: colour("c0") }, "")];
  if (isFactor(colouring) && factors[colouring.factor].levels.length <= MOST_COLOURS)
    return factors[colouring.factor].levels.flatMap((name, number) => {
      const chosen = all.filter((index) => jobs[numbers[index]].levels[colouring.factor] === number);
      const marker = { color: seriesColour(number), symbol: ["circle", "diamond", "square", "x"][number % 4] };
      return chosen.length ? [trace(chosen, marker, `${colouring.name}=${name}`)] : [];
    });
  const scale = { color: numbers.map((number) => colouring.value(jobs[number])), colorscale: shadeScale() };
  const bar = { title: { text: colouring.name, side: "right" }, thickness: 10, outlinewidth: 0 };
  return [trace(all, { ...scale, showscale: true, colorbar: bar }, "")];
}

function scatterPlot() {
  const [x, y, colouring] = [chosenX(), chosenY(), quantity(view.colour)];
  const numbers = measuredRuns(x, y, ...(colouring ? [colouring] : []));
  const [across, up] = [positions(x, numbers), positions(y, numbers)];
  return {
    traces: pointTraces(numbers, across.values, up.values, colouring),
    layout: layout({
      height: 420,
      hovermode: "closest",
      xaxis: across.axis,
      yaxis: up.axis,
      showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    }),
    description: `${y.name} against ${x.name}, ${plural(numbers.length, "run")}`,
  };
}

// What makes the ticks of a numeric axis fit into a narrow plot.
function fewTicks({ type, range }) {
  if (type === "log") return range[1] - range[0] > 2 ? { tickmode: "linear", dtick: 1 } : {};
  return type === "linear" ? { tickmode: "auto", nticks: 5 } : {};
}

// The quantity against each factor, side by side; as many columns as the window has room for.
function slicesPlot() {
  const y = chosenY();
  const numbers = measuredRuns(y);
  const colouring = quantity(view.colour);
  const sliced = quantities.filter((item) => isFactor(item) && item !== colouring).slice(0, MOST_SLICES);
  const across = matchMedia(NARROW).matches ? 1 : Math.min(4, sliced.length);
  const down = Math.ceil(sliced.length / across);
  const up = positions(y, numbers);
  const axes = {};
  const traces = sliced.flatMap((item, index) => {
    const [column, line] = [index % across, Math.floor(index / across)];
    const suffix = index ? index + 1 : "";
    const placed = positions(item, numbers);
    const domain = (place, count, gap) => [place / count + gap / 2, (place + 1) / count - gap / 2];
    axes[`xaxis${suffix}`] = { ...placed.axis, ...fewTicks(placed.axis), domain: domain(column, across, 0.04), anchor: `y${suffix}` };
    axes[`yaxis${suffix}`] = {
      ...up.axis,
      domain: domain(down - 1 - line, down, down > 1 ? 0.16 : 0),
      anchor: `x${suffix}`,
      ...(column ? { showticklabels: false, title: undefined } : {}),
    };
    const on = { xaxis: `x${suffix}`, yaxis: `y${suffix}` };
    return pointTraces(numbers, placed.values, up.values, colouring, on).map((trace) => ({
      ...trace,
      showlegend: trace.showlegend && index === 0,
      marker: { ...trace.marker, showscale: Boolean(trace.marker.showscale) && index === 0 },
    }));
  });
  return {
    traces,
    layout: layout({
      height: 60 + 280 * Math.max(1, down),
      hovermode: "closest",
      showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      ...axes,
    }),
    description: `${y.name} against each of ${plural(sliced.length, "factor")}`,
  };
}

// Where the lines of a grid over these values run, and which of them each value is on: one a value or, where there are
// more than can be told apart, one for a few neighbours.
function gridLines(values) {
  const sorted = [...new Set(values)].sort((a, b) => a - b);
  const size = Math.ceil(sorted.length / MOST_GRID_LINES);
  return {
    lines: sorted.filter((_, index) => index % size === 0),
    lineOf: new Map(sorted.map((value, index) => [value, Math.floor(index / size)])),
  };
}

// The quantity over two numeric factors: contours between the runs, and the runs as points. Equal places are averaged.
function contourPlot() {
  const y = chosenY();
  const [first, second] = contourFactors();
  const numbers = completedRuns(first, second, y);
  const log = [first, second].map((item) => spansDecades(numbers.map((number) => item.value(jobs[number]))));
  const [xs, ys] = [first, second].map((item) => numbers.map((number) => item.value(jobs[number])));
  const { lines: columns, lineOf: columnOf } = gridLines(xs);
  const { lines, lineOf } = gridLines(ys);
  const sums = lines.map(() => columns.map(() => [0, 0]));
  numbers.forEach((number, index) => {
    const cell = sums[lineOf.get(ys[index])][columnOf.get(xs[index])];
    cell[0] += y.value(jobs[number]);
    cell[1] += 1;
  });
  return {
    traces: [
      {
        type: "contour",
        x: columns,
        y: lines,
        z: sums.map((cells) => cells.map(([sum, count]) => (count ? sum / count : null))),
        connectgaps: true,
        colorscale: shadeScale(),
        contours: { coloring: "heatmap" },
        line: { width: 0.5, color: colour("paper") },
        colorbar: { title: { text: y.name, side: "right" }, thickness: 10, outlinewidth: 0 },
        hoverinfo: "skip",
      },
      ...pointTraces(numbers, xs, ys, null, {
        marker: { size: 6, color: colour("paper"), line: { color: colour("ink"), width: 1 } },
        text: numbers.map((number) => inert(`${runLabel(number)}: ${y.name} ${significant(y.value(jobs[number]), 4)}`)),
        hovertemplate: "%{text}<extra></extra>",
      }),
    ],
    layout: layout({
      height: 440,
      hovermode: "closest",
      xaxis: valueAxis(xs, log[0], { title: { text: first.name } }),
      yaxis: valueAxis(ys, log[1], { title: { text: second.name } }),
    }),
    description: `${y.name} over ${first.name} and ${second.name}, interpolated between ${plural(numbers.length, "run")}`,
  };
}

const numericFactors = () =>
  quantities.filter((item) => isFactor(item) && item.numeric && !isSeed(item.key) && factors[item.factor].levels.length > 1);

// Two numeric factors: the one on the horizontal axis, and the one that colours, if they are numeric factors.
function contourFactors() {
  const usable = numericFactors();
  const first = usable.includes(chosenX()) ? chosenX() : usable[0];
  const second = usable.find((item) => item.key === view.colour && item !== first) ?? usable.find((item) => item !== first);
  return [first, second];
}

// The share of a result's variance that lies between the levels of one factor, less what as many groups would show by
// chance (epsilon squared: Kelley, An unbiased correlation ratio measure, 1935). Numbers with many levels are cut into
// four groups of equal size.
function importance(item, numbers, values) {
  const many = factors[item.factor].levels.length > MOST_CURVES;
  if (many && !item.numeric) return null;
  const order = numbers.map((_, index) => index).sort((a, b) => item.value(jobs[numbers[a]]) - item.value(jobs[numbers[b]]));
  const members = new Map();
  order.forEach((index, rank) => {
    const key = many ? Math.floor((rank * BINS) / order.length) : jobs[numbers[index]].levels[item.factor];
    if (!members.has(key)) members.set(key, []);
    members.get(key).push(values[index]);
  });
  const average = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const squares = (list, middle) => list.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  const total = squares(values, average(values));
  const within = [...members.values()].reduce((sum, list) => sum + squares(list, average(list)), 0);
  const [n, k] = [values.length, members.size];
  if (k < 2 || n <= k || !(total > 0)) return null;
  return Math.max(0, 1 - (within / (n - k)) / (total / (n - 1)));
}

function importances() {
  const y = chosenY();
  const numbers = completedRuns(y);
  const values = numbers.map((number) => y.value(jobs[number]));
  // errors, losses and times differ by factors
  const scale = values.every((value) => value > 0) ? values.map(Math.log) : values;
  return quantities
    .filter((item) => isFactor(item) && !item.key.startsWith("seeds.")) // varied one at a time: see “Spread between seeds”
    .map((item) => [item.name, importance(item, numbers, scale)])
    .filter(([, share]) => share != null)
    .sort(([, a], [, b]) => b - a);
}

function importancePlot(found) {
  const labels = rowLabels(found.map(([name]) => name));
  return {
    traces: [
      {
        type: "bar",
        orientation: "h",
        width: matchMedia(NARROW).matches ? 0.3 : 0.7, // narrow windows have the names above the bars
        x: found.map(([, share]) => 100 * share),
        y: found.map((_, row) => row),
        marker: { color: colour("c0") },
        text: found.map(([, share]) => `${Math.round(100 * share)} %`),
        textposition: "outside",
        cliponaxis: false,
        hoverinfo: "skip",
      },
    ],
    layout: layout({
      height: 80 + labels.height,
      annotations: labels.annotations,
      xaxis: axis({ title: { text: `share of the variance of ${chosenY().name}` }, range: [0, 106], ticksuffix: " %" }),
      yaxis: labels.yaxis,
    }),
    description: `Importance of each factor for ${chosenY().name}: ${found.map(([name, share]) => `${name} ${Math.round(100 * share)} %`).join(", ")}`,
  };
}

function exploreControls() {
  const kinds = [["scatter", "points"]];
  if (quantities.filter(isFactor).length > 1) kinds.push(["slices", "slices by every factor"]);
  if (numericFactors().length > 1) kinds.push(["contour", "contour of two factors"]);
  const named = (items) => items.map((item) => [item.key, item.name]);
  const contour = view.plot === "contour" && numericFactors().length > 1;
  const [first, second] = contour ? contourFactors() : [];
  return [
    selector("Show", kinds, (kind) => setView({ plot: kind }), view.plot),
    selector("Quantity", named(quantities), (y) => setView({ y }), chosenY().key),
    view.plot !== "slices" &&
      selector("Against", named(contour ? numericFactors() : quantities), (x) => setView({ x }), (first ?? chosenX()).key),
    selector(
      contour ? "And" : "Colour by",
      contour ? named(numericFactors()) : [["", "nothing"], ...named(quantities)],
      (key) => setView({ colour: key }),
      contour ? second.key : view.colour,
    ),
  ].filter(Boolean);
}

function showExplore() {
  if (jobs.length < 2 || !results.length || !measuredCount()) return;
  const place = unhide("explore");
  const makers = { scatter: scatterPlot, slices: slicesPlot, contour: contourPlot };
  const kind = () => (view.plot === "contour" && numericFactors().length < 2 ? "scatter" : view.plot);
  const figure = plot(() => (makers[kind()] ?? scatterPlot)());
  const controls = element("div", { class: "controls" }, exploreControls());
  let found = [];
  const importancePart = element(
    "div",
    { hidden: true },
    element("h3", {}, "Importance"),
    plot(() => importancePlot(found)),
    element(
      "p",
      { class: "quiet" },
      "The share of the variance between the shown runs that completed which lies between a factor's levels, each factor alone, less what chance would give. Shares of factors that act together may add up to more or less than 100 %.",
    ),
  );
  const fillBars = () => {
    found = importances();
    importancePart.hidden = !found.length;
    if (found.length) importancePart.querySelector(".plot").redraw();
  };
  const bars = whenSeen(element("div", {}, importancePart), fillBars);
  const hasPartial = jobs.some(
    (job, number) => !isCompleted(number) && results.some((item) => item.key !== "trial" && item.value(job) != null),
  );
  const hollow = element(
    "p",
    { class: "quiet" },
    "Hollow marks are the last figures of runs that have not completed; contours leave them out.",
  );
  place.append(controls, figure, ...(hasPartial ? [hollow] : []), bars);
  listen(["shown", "plot", "x", "y", "colour"], figure.redraw);
  listen(["plot", "x", "y", "colour"], () => {
    const at = [...controls.querySelectorAll("select")].indexOf(document.activeElement);
    controls.replaceChildren(...exploreControls());
    controls.querySelectorAll("select")[at]?.focus();
  });
  listen(["shown", "y"], bars.redraw);
}

const measuredCount = () => jobs.filter((job) => results.some((item) => item.key !== "trial" && item.value(job) != null)).length;
