// What the sweep says: groups of seeds, claims against measurement, the effect of each factor.
const error = (accuracy) => (accuracy == null ? null : 100 * (1 - accuracy));
const signed = (points) => {
  if (points == null) return ABSENT;
  const size = Math.abs(points).toFixed(2);
  return Number(size) === 0 ? size : `${points > 0 ? "+" : "−"}${size}`;
};
const between = ([low, high], write) => (low == null ? ABSENT : `${write(low)} to ${write(high)}`);
const heads = (...names) => names.map((name) => (typeof name === "string" ? { head: name, number: true } : name));
const words = (head) => ({ head });
const prose = (head) => ({ head, wrap: true });

const timed = data.groups.filter((group) => group.test_accuracy.mean != null && group.training_seconds.mean != null);

// Where each group of seeds stands between accuracy and the time that its training takes.
function timesPlot() {
  const keys = factors.filter((factor) => factor.key !== "seed").map((factor) => factor.key);
  const names = timed.map((group) => {
    const whole = group.levels.map((level, at) => `${keys[at]}=${level}`).join(", ") || "all";
    return group.short ? (group.short.length === 1 ? `${group.short}: ${whole}` : group.short) : whole;
  });
  const bars = (metric, factor) => ({
    type: "data",
    symmetric: false,
    array: timed.map(({ [metric]: one }) => (one.high == null ? 0 : factor * (one.high - one.mean))),
    arrayminus: timed.map(({ [metric]: one }) => (one.low == null ? 0 : factor * (one.mean - one.low))),
    color: colour("quiet"),
    thickness: 1,
    width: 3,
  });
  return {
    traces: [
      {
        x: timed.map((group) => group.training_seconds.mean),
        y: timed.map((group) => 100 * group.test_accuracy.mean),
        error_x: bars("training_seconds", 1),
        error_y: bars("test_accuracy", 100),
        text: names.map(inert),
        type: "scatter",
        mode: "markers",
        marker: { size: 10, color: timed.map((_, at) => seriesColour(at)) },
        hovertemplate: "%{text}<br>%{y:.2f} % in %{x:.3g} s<extra></extra>",
      },
    ],
    layout: layout({
      height: 380,
      xaxis: axis({ title: { text: "training, seconds" }, type: "log" }),
      yaxis: axis({ title: { text: "test accuracy, %" } }),
    }),
    description: "Test accuracy against seconds of training, mean of each group with its 95 % intervals",
  };
}

function showGroups() {
  if (!data.groups.length) return;
  const by = factors
    .filter((factor) => factor.key !== "seed")
    .map((factor) => ({ head: factor.key, number: factor.numeric }));
  const rows = data.groups.map((group) => [
    ...(by.length ? group.levels : ["all"]),
    group.n === group.jobs ? `${group.n}` : `${group.n} of ${group.jobs}`,
    ...["test_accuracy", "train_accuracy"].flatMap((metric) => {
      const { mean, sd, low, high, min, max } = group[metric];
      return [
        percent(mean),
        percent(sd),
        between([low, high], percent),
        ...(metric === "test_accuracy" ? [percent(min), percent(max)] : []),
      ];
    }),
    percent(group.best_test_accuracy.mean),
    ...(timed.length ? [significant(group.training_seconds.mean)] : []),
  ]);
  const columns = [
    ...(by.length ? by : [words("runs")]),
    ...heads(
      "n",
      "test accuracy, %",
      "sd",
      "95 % interval",
      "lowest",
      "highest",
      "training accuracy, %",
      "sd",
      "95 % interval",
      "best epoch's test, %",
      ...(timed.length ? ["training, s"] : []),
    ),
  ];
  const table = plainTable(columns, rows);
  table.classList.add("tall");
  unhide("groups").append(
    ...(timed.length > 1 ? [plot(timesPlot)] : []),
    table,
    element(
      "p",
      { class: "quiet" },
      `Last epoch: mean, standard deviation between seeds, and interval of the mean (Student's t) over n completed runs. ${data.picked}`,
    ),
  );
}

function claimsPlot(claims) {
  const labels = rowLabels(
    claims.map((claim) => `${claim.group}: ${claim.metric.replace("_", " ")}, ${claim.epoch} epoch`),
  );
  const everything = claims.flatMap((claim) => [...claim.values, claim.value].map(error)).filter((value) => value > 0);
  const floor = Math.min(...everything) / 2;
  const at = (accuracy) => Math.max(floor, error(accuracy));
  const bars = (name, pick, hue, width) => {
    const ends = claims.map((claim) =>
      claim[pick][0] == null ? [null, null, null] : [at(claim[pick][1]), at(claim[pick][0]), null],
    );
    const rows = claims.flatMap((_, row) => [row, row, null]);
    return {
      name,
      x: ends.flat(),
      y: rows,
      type: "scatter",
      mode: "lines",
      line: { color: hue, width },
      hoverinfo: "skip",
      showlegend: true,
    };
  };
  const marks = (name, points, marker) => ({
    name,
    x: points.map(([, value]) => at(value)),
    y: points.map(([row]) => row),
    type: "scatter",
    mode: "markers",
    marker,
    showlegend: true,
    customdata: points.map(([, value]) => percent(value)),
    hovertemplate: `${name}: %{customdata} %<extra></extra>`,
  });
  const rows = claims.map((claim, row) => [row, claim]);
  const stated = rows.filter(([, claim]) => claim.value != null).map(([row, claim]) => [row, claim.value]);
  const runs = rows.flatMap(([row, claim]) => claim.values.map((value) => [row, value]));
  const means = rows.filter(([, claim]) => claim.mean != null).map(([row, claim]) => [row, claim.mean]);
  return {
    traces: [
      bars("where one further run falls, 95 %", "prediction", faded(colour("c0"), 0.28), 12),
      bars("95 % interval of the mean", "interval", colour("c0"), 3),
      marks("one run", runs, { color: colour("quiet"), size: 5 }),
      marks("mean of the runs", means, {
        color: colour("c0"),
        size: 9,
        symbol: "line-ns",
        line: { width: 3, color: colour("c0") },
      }),
      marks("claimed", stated, { color: colour("c1"), size: 11, symbol: "diamond" }),
    ],
    layout: layout({
      height: 150 + labels.height,
      annotations: labels.annotations,
      showlegend: true,
      legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 },
      xaxis: axis({ type: "log", title: { text: "error, % (left is better)" }, tickformat: "~g", dtick: "D2" }),
      yaxis: labels.yaxis,
    }),
    description:
      "Claimed figures against the runs, their mean with its interval, and the prediction interval for one further run; the table below says the same",
  };
}

const writerOf = (claim) => (claim.accuracy ? (value) => percent(value) : (value) => significant(value, 4));

const claimName = (claim) => [
  [claim.group, data.sweeps.length > 1 ? ` (${claim.sweep})` : ""],
  element("div", { class: "quiet" }, `${claim.metric.replace("_", " ")}, ${claim.epoch} epoch`),
];

function claimRow(claim) {
  const write = writerOf(claim);
  return [
    claimName(claim),
    [write(claim.value), claim.words && element("div", { class: "quiet" }, `“${claim.words}”`)],
    [element("span", { class: "verdict" }, claim.verdict), element("div", { class: "quiet" }, claim.reason)],
    claim.n === claim.jobs ? `${claim.n}` : `${claim.n} of ${claim.jobs}`,
    write(claim.mean),
    between(claim.interval, write),
    between(claim.prediction, write),
  ];
}

function claimsTable() {
  const measured = heads("n", "measured mean", "95 % interval", "a further run, 95 %");
  return plainTable(
    [prose("config and figure"), words("claimed"), prose("verdict"), ...measured],
    data.claims.map(claimRow),
  );
}

// Accuracy swings from epoch to epoch: what a claim would have met in the others.
function swingTable() {
  const told = data.claims.filter((claim) => claim.swing);
  const rows = told.map((claim) => [
    claimName(claim),
    writerOf(claim)(claim.value),
    claim.epochs || ABSENT,
    ...claim.swing.map(writerOf(claim)),
  ]);
  const [claimed, ...figures] = heads("claimed", "lowest", "median", "highest");
  return plainTable([prose("config and figure"), claimed, words("epochs at or beyond the claim"), ...figures], rows);
}

function questionRow(answer) {
  const side = (one) => [`${one.level}: ${significant(one.mean)}`, element("div", { class: "quiet" }, `n = ${one.n}`)];
  const difference =
    answer.effect?.mean == null
      ? ABSENT
      : [
          significant(answer.effect.mean),
          element("div", { class: "quiet" }, between(answer.effect.interval, significant)),
        ];
  return [
    element("span", {}, `“${answer.words}”`),
    answer.measure,
    side(answer.better),
    side(answer.worse),
    difference,
    [element("span", { class: "verdict" }, answer.finding), element("div", { class: "quiet" }, answer.reason)],
  ];
}

function showClaims() {
  if (!data.claims.length && !data.questions.length) return;
  const place = unhide("claims");
  const drawable = data.claims.filter((claim) => claim.accuracy && (claim.n || claim.value != null));
  if (drawable.length) {
    place.append(
      plot(() => claimsPlot(drawable)),
      element("p", { class: "quiet" }, "A claim is one run: it stands if it lies where one further run falls."),
    );
  }
  if (data.claims.length) place.append(claimsTable(), element("p", { class: "quiet" }, "Accuracies in per cent."));
  if (data.claims.some((claim) => claim.swing)) {
    place.append(element("h3", {}, "The same figures in every epoch of every completed run"), swingTable());
  }
  if (data.questions.length) {
    place.append(
      element("h3", {}, "Claims without a figure"),
      plainTable(
        [
          prose("claim"),
          prose("decided by"),
          words("claimed better"),
          words("claimed worse"),
          ...heads("paired difference"),
          prose("finding"),
        ],
        data.questions.map(questionRow),
      ),
    );
  }
}

const effectName = (effect) =>
  effect.factors.map((factor, at) => `${factor}: ${effect.levels[at][0]} → ${effect.levels[at][1]}`).join(" × ");

function effectsPlot(effects) {
  const labels = rowLabels(effects.map(effectName));
  const means = effects.map((effect) => 100 * effect.mean);
  const reach = (end, sign) =>
    effects.map((effect, at) => (effect.interval[end] == null ? 0 : sign * (100 * effect.interval[end] - means[at])));
  const hue = effects.map((effect) => (effect.shown ? colour("c0") : colour("quiet")));
  return {
    traces: [
      {
        x: means,
        y: means.map((_, row) => row),
        text: effects.map((effect) => inert(effectName(effect))),
        type: "scatter",
        mode: "markers",
        marker: {
          color: hue,
          size: 9,
          symbol: effects.map((effect) => (effect.shown ? "circle" : "circle-open")),
          line: { width: 2, color: hue },
        },
        error_x: {
          type: "data",
          symmetric: false,
          array: reach(1, 1),
          arrayminus: reach(0, -1),
          color: colour("quiet"),
          thickness: 1.5,
          width: 5,
        },
        customdata: effects.map((effect) =>
          between(
            effect.interval.map((end) => (end == null ? null : 100 * end)),
            signed,
          ),
        ),
        hovertemplate: "%{text}<br>%{x:+.3f} points, 95 % interval %{customdata}<extra></extra>",
      },
    ],
    layout: layout({
      height: 100 + labels.height,
      annotations: labels.annotations,
      xaxis: axis({
        title: { text: "change of test error, points (left is better)" },
        zeroline: true,
        zerolinewidth: 1.5,
      }),
      yaxis: labels.yaxis,
    }),
    description: "Effect of each factor on the test error with 95 % intervals; the table below says the same",
  };
}

function changesTable() {
  const points = (value) => signed(value == null ? null : 100 * value);
  const rows = data.changes.map(({ base, metric, seconds }) => [
    base,
    effectName(metric),
    points(metric.mean),
    between(metric.interval, points),
    `${metric.seeds}`,
    metric.interval[0] == null ? "no interval" : metric.shown ? "shown" : "not shown",
    significant(seconds.mean),
    between(seconds.interval, significant),
  ]);
  const columns = [
    words("from"),
    words("change"),
    ...heads("test error, points", "95 % interval", "seeds"),
    words("effect"),
    ...heads("training, s", "95 % interval"),
  ];
  return plainTable(columns, rows);
}

function effectRow(effect) {
  const p = effect.p == null ? ABSENT : effect.p < 0.001 ? "< 0.001" : effect.p.toFixed(3);
  return [
    effectName(effect),
    signed(100 * effect.mean),
    between(
      effect.interval.map((end) => (end == null ? null : 100 * end)),
      signed,
    ),
    p,
    `${effect.seeds}`,
    `${effect.cells}`,
    `${effect.left_out}`,
    effect.interval[0] == null ? "no interval" : effect.shown ? "shown" : "not shown",
  ];
}

function showEffects() {
  const { alone, together, unpaired, left_out: leftOut } = data.effects;
  if (!alone.length && !unpaired.length && !leftOut.length) return;
  const place = unhide("effects");
  const columns = (head) => [
    words(head),
    ...heads("test error, points", "95 % interval", "p", "seeds", "cells", "pairs left out"),
    words("effect"),
  ];
  if (alone.length)
    place.append(
      plot(() => effectsPlot(alone)),
      plainTable(columns("factor"), alone.map(effectRow)),
    );
  if (data.changes.length) {
    const bases = new Map(data.changes.map(({ base, levels }) => [base, levels]));
    const written = ([base, levels]) => `${base} is ${Object.entries(levels).map((pair) => pair.join("=")).join(", ")}.`;
    place.append(
      element("h3", {}, "One change at a time"),
      element("p", { class: "quiet" }, [...bases].map(written).join(" ")),
      changesTable(),
    );
  }
  if (together.length)
    place.append(
      element("h3", {}, "Two factors together"),
      plainTable(columns("interaction"), together.map(effectRow)),
    );
  const paired =
    "Runs are paired by seed and by the levels of all other factors; each seed's mean over those cells is one observation. An effect whose interval spans zero is not shown. p values are not corrected for the number of effects.";
  if (alone.length) place.append(element("p", { class: "quiet" }, paired));
  if (unpaired.length)
    place.append(element("p", {}, `No two completed runs differ in one of these alone: ${unpaired.join(", ")}.`));
  if (leftOut.length) place.append(element("p", {}, `Too many levels to pair runs by: ${leftOut.join(", ")}.`));
}
