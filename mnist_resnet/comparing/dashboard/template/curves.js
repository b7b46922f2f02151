// Training curves: the mean of the shown runs and the range they span, for each level of a factor.
const MOST_CURVES = 12;
const BINS = 4;
const wanted = { by: null, quantity: "error", on: "test", band: "range", log: true };

const IMAGES = { test: "test images", train: "training images", val: "held-out images" };
const LONG_BANDS = { range: "lowest to highest run", half: "middle half of the runs", none: "none" };

// Whether a factor can tell curves apart: by its levels, or, of many numbers, by four ranges.
const canGroup = (factor) => factor.levels.length <= MOST_CURVES || factor.numeric;

// The shown runs by group: [{name, members}].
function groups(by) {
  if (by === "") return [{ name: "all shown runs", members: shown }];
  const factor = factors[by];
  const inOrder = [...shown].sort((a, b) => jobs[a].levels[by] - jobs[b].levels[by]);
  const members = new Map();
  const many = factor.levels.length > MOST_CURVES;
  inOrder.forEach((number, at) => {
    const key = many ? Math.floor((at * BINS) / inOrder.length) : jobs[number].levels[by];
    members.set(key, [...(members.get(key) ?? []), number]);
  });
  const ends = (numbers) =>
    [numbers[0], numbers[numbers.length - 1]].map((number) => level(jobs[number], by)).join(" to ");
  return [...members].map(([key, numbers]) => ({
    key,
    name: many ? ends(numbers) : factor.levels[key],
    members: numbers,
  }));
}

const quantile = (ordered, share) => {
  const at = (ordered.length - 1) * share;
  const [below, above] = [ordered[Math.floor(at)], ordered[Math.ceil(at)]];
  return below + (above - below) * (at - Math.floor(at));
};

// By epoch: n, mean and band of the runs that have come so far; null where none has.
function meanCurve(members, values) {
  const length = Math.max(0, ...members.map((number) => values[number].length));
  return Array.from({ length }, (_, epoch) => {
    const here = members
      .map((number) => values[number][epoch])
      .filter((value) => value != null)
      .sort((a, b) => a - b);
    if (!here.length) return null;
    const mean = here.reduce((sum, value) => sum + value, 0) / here.length;
    const ends =
      wanted.band === "half" ? [quantile(here, 0.25), quantile(here, 0.75)] : [here[0], here[here.length - 1]];
    return { n: here.length, mean, low: ends[0], high: ends[1] };
  });
}

function chosenValues() {
  if (wanted.quantity === "loss") return data.curves[`${wanted.on}_loss`] ?? jobs.map(() => []);
  const accuracies = data.curves[`${wanted.on}_accuracy`] ?? jobs.map(() => []);
  return accuracies.map((epochs) => epochs.map((value) => (value == null ? null : 100 * (1 - value))));
}

function bandTrace(curve, hue, floor) {
  const points = curve.map((point, epoch) => ({ ...point, epoch })).filter((point) => point.n > 1);
  const above = (value) => (wanted.log ? Math.max(value, floor) : value);
  return {
    x: [...points.map((point) => point.epoch), ...points.map((point) => point.epoch).reverse()],
    y: [...points.map((point) => above(point.high)), ...points.map((point) => above(point.low)).reverse()],
    fill: "toself",
    fillcolor: faded(hue, 0.16),
    line: { width: 0 },
    mode: "lines",
    hoverinfo: "skip",
    type: "scatter",
  };
}

function lineTrace(group, curve, at) {
  return {
    x: curve.map((_, epoch) => epoch),
    y: curve.map((point) => point?.mean ?? null),
    type: "scatter",
    mode: curve.length > 1 ? "lines" : "markers",
    line: { color: seriesColour(at), width: 2, dash: DASHES[Math.floor(at / 8) % 3] },
    marker: { color: seriesColour(at) },
    customdata: curve.map((point) => (point ? [point.n, point.low, point.high] : null)),
    hovertemplate: `${inert(group.name)}: %{y:.3~g} (%{customdata[1]:.3~g} to %{customdata[2]:.3~g}, n = %{customdata[0]})<extra></extra>`,
  };
}

const quantityWords = () =>
  `${wanted.quantity === "loss" ? "Loss on" : "Error on"} ${IMAGES[wanted.on]}${wanted.quantity === "loss" ? "" : ", %"}`;

function curvesPlot(legend) {
  const values = chosenValues();
  const drawnGroups = groups(wanted.by)
    .map((group) => ({ ...group, curve: meanCurve(group.members, values) }))
    .filter((group) => group.curve.length);
  const positive = drawnGroups.flatMap((group) =>
    group.curve.flatMap((point) => (point && point.low > 0 ? [point.low] : [])),
  );
  const floor = Math.min(...positive, Infinity) / 2; // zero has no place on a log scale
  const bands =
    wanted.band === "none" ? [] : drawnGroups.map((group, at) => bandTrace(group.curve, seriesColour(at), floor));
  showLegend(legend, drawnGroups);
  return {
    traces: [...bands, ...drawnGroups.map((group, at) => lineTrace(group, group.curve, at))],
    layout: layout({
      height: 400,
      hovermode: "x unified",
      xaxis: epochAxis(Math.max(0, ...drawnGroups.map((group) => group.curve.length))),
      yaxis: axis({
        title: { text: quantityWords() },
        type: wanted.log ? "log" : "linear",
        exponentformat: "none",
        tickformat: "~g",
        dtick: wanted.log ? "D2" : undefined,
      }),
    }),
    description: `${quantityWords()} by epoch, ${wanted.by === "" ? "all shown runs" : `by ${factors[wanted.by].key}`}`,
  };
}

// The curves' ends as numbers, which is also what can be read without seeing them.
function showLegend(place, drawnGroups) {
  const digits = wanted.quantity === "loss" ? loss : (value) => value.toFixed(2);
  const rows = drawnGroups.map((group, at) => {
    const end = group.curve.findLast((point) => point);
    const key = element("span", { class: "key" });
    key.style.borderTopColor = seriesColour(at);
    key.style.borderTopStyle = ["solid", "dashed", "dotted"][Math.floor(at / 8) % 3];
    return [[key, group.name], `${end.n}`, digits(end.mean), digits(end.low), digits(end.high)];
  });
  const by = wanted.by === "" ? "" : factors[wanted.by].key;
  const half = wanted.band === "half";
  const heads = [
    "runs at the last epoch",
    "mean there",
    half ? "lower quartile" : "lowest",
    half ? "upper quartile" : "highest",
  ];
  place.replaceChildren(plainTable([{ head: by }, ...heads.map((head) => ({ head, number: true }))], rows));
}

function showCurves() {
  if (!Object.values(data.curves).some((runs) => runs.some((epochs) => epochs.length))) return;
  const place = unhide("curves");
  const choices = factors.flatMap((factor, at) => (canGroup(factor) ? [[at, factor.key]] : []));
  wanted.by = choices.length ? choices[0][0] : "";
  const legend = element("div");
  const figure = plot(() => curvesPlot(legend));
  const change = (name) => (value) => {
    wanted[name] = name === "by" && value !== "" ? Number(value) : value;
    figure.redraw();
  };
  const sets = Object.keys(IMAGES)
    .filter((name) => `${name}_accuracy` in data.curves)
    .map((name) => [name, IMAGES[name]]);
  const log = element("input", {
    type: "checkbox",
    checked: true,
    onchange: (event) => change("log")(event.target.checked),
  });
  place.append(
    element(
      "div",
      { class: "controls" },
      selector("One curve for each level of", [["", "(all shown runs together)"], ...choices], change("by"), wanted.by),
      selector(
        "Quantity",
        [
          ["error", "error"],
          ["loss", "loss"],
        ],
        change("quantity"),
      ),
      selector("On", sets, change("on")),
      selector("Band", Object.entries(LONG_BANDS), change("band")),
      element("label", { class: "check" }, log, "logarithmic"),
    ),
    figure,
    legend,
    element(
      "p",
      { class: "quiet" },
      "Lines are means over the runs that the table above shows and that have come to the epoch; training figures are counted while training, before each batch's update.",
    ),
  );
  listeners.push(() => figure.redraw());
}
