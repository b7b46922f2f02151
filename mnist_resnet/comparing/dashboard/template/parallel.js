// Parallel coordinates: one line per run across factors and results. Dragging along an axis keeps the runs in that range.
const LEAST_WIDTH = 105; // between two axes
const PLOT = { height: 340, top: 40, bottom: 14, left: 30, right: 90 };
const ON_AXES = new Set([
  ...(data.search ? [data.search.key] : []),
  ...["test_error", "train_error", "test_loss"],
  ...data.metrics.map(({ name }) => name),
  "seconds",
]);
const MOST_FAINT = 2000; // hidden runs are drawn faintly up to this number of runs

const svg = (tag, attributes = {}, ...children) => {
  const created = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children.flat());
  return created;
};

// A factor's levels at equal distances, by rank; runs of one level are spread a little, to show how many there are.
function factorAxis(item) {
  const { levels, numeric } = factors[item.factor];
  const last = Math.max(1, levels.length - 1);
  const jitter = (number) => ((((number * 0.618034) % 1) - 0.5) * 0.5) / (last + 4);
  const every = Math.ceil(levels.length / 12);
  return {
    ...item,
    place: (number) => jobs[number].levels[item.factor] / last + jitter(number),
    ticks: levels.flatMap((text, index) => (index % every ? [] : [[index / last, text]])),
    // the lowest and highest level between two shares of the axis, as values of the quantity; null if there is none
    between: (low, high) => {
      const inside = levels.map((_, index) => index).filter((index) => index / last >= low && index / last <= high);
      if (!inside.length) return null;
      const ends = [inside[0], inside.at(-1)];
      return numeric ? ends.map((index) => Number(levels[index])) : ends;
    },
    share: (value) => (numeric ? levels.findIndex((text) => Number(text) === value) : value) / last,
  };
}

// Positions with the fewest digits, from two, by which their values differ.
function tickTexts(places, at) {
  const texts = (digits) => places.map((position) => significant(at(position), digits));
  const digits = [2, 3, 4, 5, 6].find((count) => new Set(texts(count)).size === places.length) ?? 6;
  return places.map((position, index) => [position, texts(digits)[index]]);
}

// A result's axis, logarithmic unless some values are negative; none for one that is the same in all runs.
function resultAxis(item) {
  const all = jobs.filter((_, number) => isCompleted(number)).map(item.value).filter(Number.isFinite);
  const isLog = all.every((value) => value >= 0);
  const present = all.filter((value) => value > 0 || !isLog);
  if (!present.length) return null;
  const [low, high] = extent(present);
  if (low === high) return null;
  const linear = (value) => (value - low) / (high - low);
  const share = (value) => (!isLog ? linear(value) : value <= 0 ? 0 : Math.log(value / low) / Math.log(high / low));
  const at = (position) => (isLog ? low * (high / low) ** position : low + (high - low) * position);
  return {
    ...item,
    place: (number) => {
      const value = item.value(jobs[number]);
      return value == null ? null : share(value);
    },
    ticks: tickTexts([0, 0.25, 0.5, 0.75, 1], at),
    between: (from, to) => [from > 0 ? at(from) : isLog ? 0 : low, at(to)],
    share,
  };
}

const shareToY = (share) => PLOT.top + (1 - share) * (PLOT.height - PLOT.top - PLOT.bottom);
const yToShare = (y) => 1 - (y - PLOT.top) / (PLOT.height - PLOT.top - PLOT.bottom);
let axisDistance = LEAST_WIDTH;
const axisX = (index) => PLOT.left + index * axisDistance;

function linePaths(axes, colouring) {
  const paths = SHADES().map(() => []);
  const faint = [];
  const visible = new Set(shown);
  jobs.forEach((_, number) => {
    if (!isCompleted(number)) return;
    const places = axes.map((item) => item.place(number));
    const share = colouring.place(number);
    if (share == null || places.includes(null)) return;
    const d = `M${places.map((place, index) => `${axisX(index)},${shareToY(place).toFixed(1)}`).join("L")}`;
    if (visible.has(number)) paths[Math.max(0, Math.min(paths.length - 1, Math.floor(share * paths.length)))].push(d);
    else faint.push(d);
  });
  const opacity = Math.max(0.25, Math.min(0.9, 10 / Math.sqrt(shown.length)));
  return [
    svg("path", { class: "faint", d: jobs.length > MOST_FAINT ? "" : faint.join("") }),
    ...paths.map((lines, index) => svg("path", { d: lines.join(""), stroke: SHADES()[index], opacity })),
  ];
}

function axisMarks(item, index, title) {
  const ticks = distinctlyCut(item.ticks.map(([, text]) => text), 14);
  const x = axisX(index);
  const range = view.ranges[item.key];
  const [high, low] = (range ?? []).map((value) => Math.max(0, Math.min(1, item.share(value)))).reverse();
  return svg(
    "g",
    {},
    svg("text", { x: x - 8, y: 16, class: "title" }, svg("title", {}, item.name), title),
    svg("line", { x1: x, x2: x, y1: shareToY(1.02), y2: shareToY(-0.02) }),
    ...item.ticks.map(([share], tick) => svg("text", { x: x + 6, y: shareToY(share) + 4 }, ticks[tick])),
    range
      ? svg("rect", { class: "kept", x: x - 5, width: 10, y: shareToY(high) - 3, height: shareToY(low) - shareToY(high) + 6 })
      : "",
  );
}

// A strip over each axis takes the drag; a click without dragging removes the axis's range.
function dragStrip(item, index) {
  const strip = svg("rect", { class: "strip", x: axisX(index) - 14, width: 28, y: 22, height: PLOT.height - 22 });
  strip.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    strip.setPointerCapture(event.pointerId);
    const top = strip.ownerSVGElement.getBoundingClientRect().top;
    const from = event.clientY - top;
    const mark = svg("rect", { class: "kept", x: axisX(index) - 5, width: 10, y: from, height: 0 });
    strip.before(mark);
    const ends = (last) => [Math.min(from, last.clientY - top), Math.max(from, last.clientY - top)];
    strip.onpointermove = (moved) => {
      const [upper, lower] = ends(moved);
      mark.setAttribute("y", upper);
      mark.setAttribute("height", lower - upper);
    };
    strip.onpointerup = (moved) => {
      strip.onpointermove = strip.onpointerup = null;
      const [upper, lower] = ends(moved);
      const kept = lower - upper > 3 ? item.between(yToShare(lower), yToShare(upper)) : null;
      const { [item.key]: _, ...others } = view.ranges;
      setView({ ranges: kept ? { ...others, [item.key]: kept } : others });
      mark.remove();
    };
  });
  return strip;
}

function fillParallel(place, axes) {
  const colouring = axes.find((item) => item.key === view.shade) ?? axes.find((item) => item.factor === undefined);
  axisDistance = Math.max(LEAST_WIDTH, (place.clientWidth - PLOT.left - PLOT.right) / (axes.length - 1));
  const size = { width: axisX(axes.length - 1) + PLOT.right, height: PLOT.height };
  const titles = distinctlyCut(axes.map(({ name }) => name), 15);
  const drawn = axes.map((item, index) => [axisMarks(item, index, titles[index]), dragStrip(item, index)]);
  place.replaceChildren(svg("svg", { ...size, "aria-hidden": "true" }, linePaths(axes, colouring), drawn.flat()));
  place.setAttribute("aria-label", `Parallel coordinates of ${plural(shown.filter(isCompleted).length, "run")}`);
}

function showParallel() {
  const results = [...ON_AXES].map(quantity).filter(Boolean).map(resultAxis).filter(Boolean);
  const axes = [...quantities.filter((item) => item.factor !== undefined).map(factorAxis), ...results];
  if (jobs.length < 2 || !results.length || axes.length < 3) return;
  const place = unhide("parallel");
  const inner = element("div", { class: "plot wide", tabindex: "0", role: "group" });
  whenSeen(inner, () => fillParallel(inner, axes));
  place.append(
    element(
      "div",
      { class: "controls" },
      selector(
        "Colour by",
        axes.map((item) => [item.key, item.name]),
        (shade) => setView({ shade }),
        view.shade || results[0].key,
      ),
    ),
    inner,
    element(
      "p",
      { class: "quiet" },
      "One line per run; runs that have not completed are left out. Drag along an axis to show only the runs in that range, on all of the page; click it to show all again. The filter above the table does the same by keyboard: test error < 2. Axes of results that are never negative are logarithmic; colours go from blue (low) to orange (high).",
    ),
  );
  listen(["shown", "shade", "ranges"], inner.redraw);
}
