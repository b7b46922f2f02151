// Training curves: mean and range of the shown runs, for each level of a factor.
const MOST_CURVES = 12;
const BINS = 4;
const settings = { by: null, quantity: "error", on: "test", band: "range", log: true };

const IMAGES = { test: "test images", train: "training images", val: "held-out images" };
const LONG_BANDS = { range: "lowest to highest run", half: "middle half of the runs", none: "none" };

// Whether curves can be grouped by a factor: by its levels, or by four ranges if it has many numeric levels.
const canGroup = (factor) => factor.levels.length <= MOST_CURVES || factor.numeric;

// Groups of the shown runs: [{name, members}].
function groups(by) {
  if (by === "") return [{ name: "all shown runs", members: shown }];
  const factor = factors[by];
  const inOrder = [...shown].sort((a, b) => jobs[a].levels[by] - jobs[b].levels[by]);
  const members = new Map();
  const many = factor.levels.length > MOST_CURVES;
  inOrder.forEach((number, index) => {
    const key = many ? Math.floor((index * BINS) / inOrder.length) : jobs[number].levels[by];
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
  const position = (ordered.length - 1) * share;
  const [below, above] = [ordered[Math.floor(position)], ordered[Math.ceil(position)]];
  return below + (above - below) * (position - Math.floor(position));
};

// For each epoch: n, mean and band of the runs that have reached it; null if none has.
function meanCurve(members, values) {
  const length = Math.max(0, ...members.map((number) => values[number].length));
  return Array.from({ length }, (_, epoch) => {
    const reached = members
      .map((number) => values[number][epoch])
      .filter((value) => value != null)
      .sort((a, b) => a - b);
    if (!reached.length) return null;
    const mean = reached.reduce((sum, value) => sum + value, 0) / reached.length;
    const ends =
      settings.band === "half"
        ? [quantile(reached, 0.25), quantile(reached, 0.75)]
        : [reached[0], reached[reached.length - 1]];
    return { n: reached.length, mean, low: ends[0], high: ends[1] };
  });
}

function selectedValues() {
  if (settings.quantity === "loss") return data.curves[`${settings.on}_loss`] ?? jobs.map(() => []);
  const accuracies = data.curves[`${settings.on}_accuracy`] ?? jobs.map(() => []);
  return accuracies.map((epochs) => epochs.map((value) => (value == null ? null : 100 * (1 - value))));
}

function bandTrace(curve, hue, floor) {
  const points = curve.map((point, epoch) => ({ ...point, epoch })).filter((point) => point.n > 1);
  const above = (value) => (settings.log ? Math.max(value, floor) : value);
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

function lineTrace(group, curve, index) {
  return {
    x: curve.map((_, epoch) => epoch),
    y: curve.map((point) => point?.mean ?? null),
    type: "scatter",
    mode: curve.length > 1 ? "lines" : "markers",
    line: { color: seriesColour(index), width: 2, dash: DASHES[Math.floor(index / 8) % 3] },
    marker: { color: seriesColour(index) },
    customdata: curve.map((point) => (point ? [point.n, point.low, point.high] : null)),
    hovertemplate: `${inert(group.name)}: %{y:.3~g} (%{customdata[1]:.3~g} to %{customdata[2]:.3~g}, n = %{customdata[0]})<extra></extra>`,
  };
}

const quantityText = () =>
  `${settings.quantity === "loss" ? "Loss on" : "Error on"} ${IMAGES[settings.on]}${settings.quantity === "loss" ? "" : ", %"}`;

function curvesPlot(legend) {
  const values = selectedValues();
  const drawnGroups = groups(settings.by)
    .map((group) => ({ ...group, curve: meanCurve(group.members, values) }))
    .filter((group) => group.curve.length);
  const positive = drawnGroups.flatMap((group) =>
    group.curve.flatMap((point) => (point && point.low > 0 ? [point.low] : [])),
  );
  const floor = Math.min(...positive, Infinity) / 2; // zero has no place on a log scale
  const bands =
    settings.band === "none"
      ? []
      : drawnGroups.map((group, index) => bandTrace(group.curve, seriesColour(index), floor));
  showLegend(legend, drawnGroups);
  return {
    traces: [...bands, ...drawnGroups.map((group, index) => lineTrace(group, group.curve, index))],
    layout: layout({
      height: 400,
      hovermode: "x unified",
      xaxis: epochAxis(Math.max(0, ...drawnGroups.map((group) => group.curve.length))),
      yaxis: axis({
        title: { text: quantityText() },
        type: settings.log ? "log" : "linear",
        exponentformat: "none",
        tickformat: "~g",
        dtick: settings.log ? "D2" : undefined,
      }),
    }),
    description: `${quantityText()} by epoch, ${settings.by === "" ? "all shown runs" : `by ${factors[settings.by].key}`}`,
  };
}

// The last values of the curves as a table, also for readers who can't see the plot.
function showLegend(place, drawnGroups) {
  const digits = settings.quantity === "loss" ? loss : (value) => value.toFixed(2);
  const rows = drawnGroups.map((group, index) => {
    const end = group.curve.findLast((point) => point);
    const key = element("span", { class: "key" });
    key.style.borderTopColor = seriesColour(index);
    key.style.borderTopStyle = ["solid", "dashed", "dotted"][Math.floor(index / 8) % 3];
    return [[key, group.name], `${end.n}`, digits(end.mean), digits(end.low), digits(end.high)];
  });
  const by = settings.by === "" ? "" : factors[settings.by].key;
  const half = settings.band === "half";
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
  const choices = factors.flatMap((factor, index) => (canGroup(factor) ? [[index, factor.key]] : []));
  settings.by = choices.length ? choices[0][0] : "";
  const legend = element("div");
  const figure = plot(() => curvesPlot(legend));
  const change = (name) => (value) => {
    settings[name] = name === "by" && value !== "" ? Number(value) : value;
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
      selector(
        "One curve for each level of",
        [["", "(all shown runs together)"], ...choices],
        change("by"),
        settings.by,
      ),
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
      "Lines are means over the runs shown in the table above that have reached the epoch. Training figures are computed during training, before each batch's update.",
    ),
  );
  listeners.push(() => figure.redraw());
}
