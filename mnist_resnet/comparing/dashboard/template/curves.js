// Training curves: mean and range of the shown runs for each level of some factors, or a curve for each run.
const MOST_CURVES = 12;
const BINS = 4;
const UNFINISHED = ["queued", "running", "interrupted"];
const METRICS = {
  test_accuracy: "error on test images, %",
  train_accuracy: "error on training images, %",
  val_accuracy: "error on held-out images, %",
  test_loss: "loss on test images",
  train_loss: "loss on training images",
  val_loss: "loss on held-out images",
  ...Object.fromEntries(data.metrics.map(({ name, title }) => [name, title])),
};
const LONG_BANDS = { range: "lowest to highest run", half: "middle half of the runs", none: "none" };
const isError = (metric) => ["test_accuracy", "train_accuracy", "val_accuracy"].includes(metric);

// The factors that group the curves: those chosen, else the first that has few levels or can be cut into ranges. Seeds
// of single sources are varied one at a time, so that a level of one of them is no group.
function grouping() {
  if (view.by) return view.by.filter((index) => factors[index]);
  const first = factors.findIndex(
    ({ key, levels, numeric }) => !key.startsWith("seeds.") && (levels.length <= MOST_CURVES || numeric),
  );
  return first < 0 ? [] : [first];
}

// The part of a run's group name that a factor gives: its level, or one of four ranges if it has many numeric levels.
function partNames(index) {
  const factor = factors[index];
  if (factor.levels.length <= MOST_CURVES || !factor.numeric) return (job) => [job.levels[index], level(job, index)];
  const present = [...new Set(shown.map((number) => jobs[number].levels[index]))].sort((a, b) => a - b);
  const bins = new Map(present.map((levelNumber, place) => [levelNumber, Math.floor((place * BINS) / present.length)]));
  const ends = Array.from({ length: BINS }, (_, number) => present.filter((levelNumber) => bins.get(levelNumber) === number));
  return (job) => {
    const number = bins.get(job.levels[index]);
    return [number, `${factor.levels[ends[number][0]]} to ${factor.levels[ends[number].at(-1)]}`];
  };
}

// Groups of the shown runs in the order of their levels: [{name, members}].
function groups() {
  if (view.curves === "picked") return view.picked.map((number) => ({ name: shortestName(number), members: [number] }));
  if (view.curves === "runs") return shown.map((number) => ({ name: runLabel(number), members: [number] }));
  const by = grouping();
  const parts = by.map(partNames);
  const found = new Map();
  for (const number of shown) {
    const named = parts.map((part) => part(jobs[number]));
    const key = named.map(([order]) => order).join();
    const names = named.map(([, name], index) => (by.length > 1 ? `${leaf(factors[by[index]].key)}=${name}` : name));
    if (!found.has(key)) found.set(key, { order: named.map(([order]) => order), name: names.join(", "), members: [] });
    found.get(key).members.push(number);
  }
  const inOrder = (a, b) => a.order.map((order, index) => order - b.order[index]).find(Boolean) ?? 0;
  const sorted = [...found.values()].sort(inOrder);
  return by.length ? sorted : sorted.map((group) => ({ ...group, name: "all shown runs" }));
}

const quantile = (ordered, share) => {
  const position = (ordered.length - 1) * share;
  const [below, above] = [ordered[Math.floor(position)], ordered[Math.ceil(position)]];
  return below + (above - below) * (position - Math.floor(position));
};

// For each epoch: n, mean and band of the runs that have reached it; null if none has.
function meanCurve(members, values) {
  const length = members.reduce((longest, number) => Math.max(longest, values[number].length), 0);
  return Array.from({ length }, (_, epoch) => {
    const reached = members
      .map((number) => values[number][epoch])
      .filter((value) => value != null)
      .sort((a, b) => a - b);
    if (!reached.length) return null;
    const mean = reached.reduce((sum, value) => sum + value, 0) / reached.length;
    const ends =
      view.band === "half"
        ? [quantile(reached, 0.25), quantile(reached, 0.75)]
        : [reached[0], reached[reached.length - 1]];
    return { n: reached.length, mean, low: ends[0], high: ends[1] };
  });
}

function metricValues(metric) {
  const values = data.curves[metric] ?? jobs.map(() => []);
  const isShare = data.metrics.some(({ name, share }) => name === metric && share);
  const shown = isShare ? scaled : isError(metric) ? flipped : (value) => value;
  return values.map((epochs) => epochs.map(shown));
}

function bandTrace(curve, hue, floor, opacity) {
  const points = curve.map((point, epoch) => ({ ...point, epoch })).filter((point) => point.n > 1);
  const above = (value) => (view.log ? Math.max(value, floor) : value);
  return {
    x: [...points.map((point) => point.epoch), ...points.map((point) => point.epoch).reverse()],
    y: [...points.map((point) => above(point.high)), ...points.map((point) => above(point.low)).reverse()],
    fill: "toself",
    fillcolor: faded(hue, opacity),
    line: { width: 0 },
    mode: "lines",
    hoverinfo: "skip",
    type: "scatter",
  };
}

function lineTrace(group, index) {
  const { curve } = group;
  const range = group.members.length > 1 ? " (%{customdata[1]:.3~g} to %{customdata[2]:.3~g}, n = %{customdata[0]})" : "";
  return {
    x: curve.map((_, epoch) => epoch),
    y: curve.map((point) => point?.mean ?? null),
    type: "scatter",
    mode: curve.length > 1 ? "lines" : "markers",
    line: { color: seriesColour(index), width: 2, dash: DASHES[Math.floor(index / 8) % 3] },
    marker: { color: seriesColour(index), size: 9 },
    customdata: curve.map((point) => (point ? [point.n, point.low, point.high] : null)),
    hovertemplate: `${inert(group.name)}: %{y:.3~g}${range}<extra></extra>`,
  };
}

const curveMetric = () => (view.metric in data.curves ? view.metric : Object.keys(data.curves)[0]);

function curvesPlot(legend) {
  const metric = curveMetric();
  const values = metricValues(metric);
  const found = groups();
  const drawn = found
    .slice(0, MOST_CURVES)
    .map((group) => ({ ...group, curve: meanCurve(group.members, values) }))
    .filter((group) => group.curve.length);
  const points = drawn.flatMap((group) => group.curve.filter(Boolean));
  const floor = points.filter(({ low }) => low > 0).reduce((least, { low }) => Math.min(least, low), Infinity);
  const opacity = Math.min(0.16, 0.6 / drawn.length); // many bands over each other would hide the lines
  const bands =
    view.band === "none" ? [] : drawn.map(({ curve }, index) => bandTrace(curve, seriesColour(index), floor / 2, opacity));
  showLegend(legend, drawn, found.length, metric);
  return {
    traces: [...bands, ...drawn.map(lineTrace)],
    layout: layout({
      height: 400,
      hovermode: "x unified",
      xaxis: epochAxis(drawn.reduce((longest, { curve }) => Math.max(longest, curve.length), 0), jobs.every(isReported)),
      yaxis: valueAxis(
        points.flatMap(({ low, high, mean }) => (view.band === "none" ? [mean] : [low, high])),
        view.log,
        { title: { text: METRICS[metric] } },
      ),
    }),
    description: `${METRICS[metric]} by epoch, ${plural(drawn.length, "curve")}`,
  };
}

// The last values of the curves as a table, also for readers who can't see the plot.
function showLegend(place, drawn, count, metric) {
  const digits = isError(metric) ? (value) => fixed(value, 2) : loss;
  const several = drawn.some(({ members }) => members.length > 1);
  const rows = drawn.map((group, index) => {
    const end = group.curve.findLast((point) => point);
    const key = element("span", { class: "key" });
    key.style.borderTopColor = seriesColour(index);
    key.style.borderTopStyle = ["solid", "dashed", "dotted"][Math.floor(index / 8) % 3];
    const spread = several ? [`${end.n}`, digits(end.mean), digits(end.low), digits(end.high)] : [digits(end.mean)];
    return [[key, group.name], ...spread];
  });
  const half = view.band === "half";
  const ends = half ? ["lower quartile", "upper quartile"] : ["lowest", "highest"];
  const heads = several ? ["runs at the last epoch", "mean there", ...ends] : ["last epoch"];
  const by = view.curves ? "run" : grouping().map((index) => factors[index].key).join(", ") || "runs";
  place.replaceChildren(
    drawn.length
      ? plainTable([{ head: by }, ...heads.map((head) => ({ head, number: true }))], rows)
      : element("p", {}, "None of these runs has finished an epoch."),
    count > MOST_CURVES
      ? element(
          "p",
          {},
          `${MOST_CURVES} of ${count} curves are drawn: more can't be told apart. Filter the runs, pick some, or group by other factors.`,
        )
      : "",
  );
}

function groupingChoice() {
  const boxes = factors.map((factor, index) => {
    const toggle = (event) => {
      const others = grouping().filter((other) => other !== index);
      setView({ by: event.target.checked ? [...others, index].sort((a, b) => a - b) : others, curves: "" });
    };
    const box = element("input", { type: "checkbox", checked: grouping().includes(index), onchange: toggle });
    return element("label", { class: "check" }, box, factor.key);
  });
  return element("fieldset", {}, element("legend", {}, "A curve for each level of"), boxes);
}

function showCurves() {
  if (!Object.values(data.curves).some((runs) => runs.some((epochs) => epochs.length))) {
    if (jobs.some(({ status }) => UNFINISHED.includes(status)))
      unhide("curves").append(element("p", {}, "No run has reported anything yet: curves begin with the first epoch."));
    return;
  }
  const place = unhide("curves");
  const legend = element("div");
  const figure = plot(() => curvesPlot(legend));
  const metrics = Object.keys(METRICS).flatMap((metric) => (metric in data.curves ? [[metric, METRICS[metric]]] : []));
  const log = element("input", {
    type: "checkbox",
    checked: view.log,
    onchange: (event) => setView({ log: event.target.checked }),
  });
  const controls = element("div", { class: "controls" });
  const fillControls = () =>
    controls.replaceChildren(
      selector(
        "Curves of",
        [["", "groups"], ["runs", "each shown run"], ...(view.picked.length ? [["picked", "the picked runs"]] : [])],
        (curves) => setView({ curves }),
        view.curves,
      ),
      selector("Metric", metrics, (metric) => setView({ metric }), curveMetric()),
      selector("Band", Object.entries(LONG_BANDS), (band) => setView({ band }), view.band),
      element("label", { class: "check" }, log, "logarithmic"),
      ...(view.curves === "" && factors.length ? [groupingChoice()] : []),
    );
  fillControls();
  const epochs = Object.values(data.curves).flat().reduce((most, curve) => Math.max(most, curve.length), 0);
  place.append(
    controls,
    figure,
    legend,
    element(
      "p",
      { class: "quiet" },
      `${epochs === 1 ? "All runs have one epoch so far: curves begin with the second. " : ""}Lines are means over the shown runs that have reached the epoch. Training figures are computed during training, before each batch's update.`,
    ),
  );
  listen(["shown", "picked", "curves", "by", "metric", "band", "log"], figure.redraw);
  listen(["curves"], fillControls);
  listen(["picked"], () => view.picked.length < 2 && fillControls());
}
