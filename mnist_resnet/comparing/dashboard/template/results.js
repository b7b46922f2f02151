// Results: groups of seeds, claims compared with measurements, the effect of each factor.
const error = (accuracy) => (accuracy == null ? null : 100 * (1 - accuracy));
const signed = (points) => {
  if (points == null) return ABSENT;
  const size = Math.abs(points).toFixed(2);
  return Number(size) === 0 ? size : `${points > 0 ? "+" : "−"}${size}`;
};
const between = ([low, high], format) => (low == null ? ABSENT : `${format(low)} to ${format(high)}`);
const heads = (...names) => names.map((name) => (typeof name === "string" ? { head: name, number: true } : name));
const words = (head) => ({ head });
const prose = (head) => ({ head, wrap: true });

const timedGroups = data.groups.filter(
  (group) => group.test_accuracy.mean != null && group.training_seconds.mean != null,
);

// Accuracy against training time for each group of seeds.
function timesPlot() {
  const keys = factors.filter((factor) => factor.key !== "seed").map((factor) => factor.key);
  const names = timedGroups.map((group) => {
    const longName = group.levels.map((level, index) => `${keys[index]}=${level}`).join(", ") || "all";
    return group.short ? (group.short.length === 1 ? `${group.short}: ${longName}` : group.short) : longName;
  });
  const bars = (metric, factor) => ({
    type: "data",
    symmetric: false,
    array: timedGroups.map(({ [metric]: summary }) =>
      summary.high == null ? 0 : factor * (summary.high - summary.mean),
    ),
    arrayminus: timedGroups.map(({ [metric]: summary }) =>
      summary.low == null ? 0 : factor * (summary.mean - summary.low),
    ),
    color: colour("quiet"),
    thickness: 1,
    width: 3,
  });
  return {
    traces: [
      {
        x: timedGroups.map((group) => group.training_seconds.mean),
        y: timedGroups.map((group) => 100 * group.test_accuracy.mean),
        error_x: bars("training_seconds", 1),
        error_y: bars("test_accuracy", 100),
        text: names.map(inert),
        type: "scatter",
        mode: "markers",
        marker: { size: 10, color: timedGroups.map((_, index) => seriesColour(index)) },
        hovertemplate: "%{text}<br>%{y:.2f} % in %{x:.3g} s<extra></extra>",
      },
    ],
    layout: layout({
      height: 380,
      xaxis: axis({ title: { text: "training, seconds" }, type: "log" }),
      yaxis: axis({ title: { text: "test accuracy, %" } }),
    }),
    description: "Test accuracy against seconds of training: mean of each group with 95 % intervals",
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
    ...(timedGroups.length ? [significant(group.training_seconds.mean)] : []),
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
      ...(timedGroups.length ? ["training, s"] : []),
    ),
  ];
  const table = plainTable(columns, rows);
  table.classList.add("tall");
  unhide("groups").append(
    ...(timedGroups.length > 1 ? [plot(timesPlot)] : []),
    table,
    element(
      "p",
      { class: "quiet" },
      `Figures of the last epoch over n completed runs: mean, standard deviation between seeds, and confidence interval of the mean (Student's t). ${data.picked}`,
    ),
  );
}

function claimsPlot(claims) {
  const labels = rowLabels(
    claims.map((claim) => `${claim.group}: ${claim.metric.replace("_", " ")}, ${claim.epoch} epoch`),
  );
  const positive = claims.flatMap((claim) => [...claim.values, claim.value].map(error)).filter((value) => value > 0);
  const floor = Math.min(...positive) / 2;
  const plotted = (accuracy) => Math.max(floor, error(accuracy)); // zero has no place on a log scale
  const bars = (name, pick, hue, width) => {
    const ends = claims.map((claim) =>
      claim[pick][0] == null ? [null, null, null] : [plotted(claim[pick][1]), plotted(claim[pick][0]), null],
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
    x: points.map(([, value]) => plotted(value)),
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
      bars("95 % prediction interval for one further run", "prediction", faded(colour("c0"), 0.28), 12),
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
      "Claimed figures, the runs, their mean with its interval, and the prediction interval for one further run; the table below lists the same values",
  };
}

const formatter = (claim) => (claim.accuracy ? (value) => percent(value) : (value) => significant(value, 4));

const claimName = (claim) => [
  [claim.group, data.sweeps.length > 1 ? ` (${claim.sweep})` : ""],
  element("div", { class: "quiet" }, `${claim.metric.replace("_", " ")}, ${claim.epoch} epoch`),
];

function claimRow(claim) {
  const format = formatter(claim);
  return [
    claimName(claim),
    [format(claim.value), claim.words && element("div", { class: "quiet" }, `“${claim.words}”`)],
    [element("span", { class: "verdict" }, claim.verdict), element("div", { class: "quiet" }, claim.reason)],
    claim.n === claim.jobs ? `${claim.n}` : `${claim.n} of ${claim.jobs}`,
    format(claim.mean),
    between(claim.interval, format),
    between(claim.prediction, format),
  ];
}

function claimsTable() {
  const measured = heads("n", "measured mean", "95 % interval", "95 % prediction interval");
  return plainTable(
    [prose("config and figure"), words("claimed"), prose("verdict"), ...measured],
    data.claims.map(claimRow),
  );
}

// The claimed figures in every epoch, since accuracy varies from one epoch to the next.
function epochsTable() {
  const recorded = data.claims.filter((claim) => claim.swing);
  const rows = recorded.map((claim) => [
    claimName(claim),
    formatter(claim)(claim.value),
    claim.epochs || ABSENT,
    ...claim.swing.map(formatter(claim)),
  ]);
  const [claimed, ...figures] = heads("claimed", "lowest", "median", "highest");
  return plainTable([prose("config and figure"), claimed, words("epochs at or beyond the claim"), ...figures], rows);
}

function questionRow(answer) {
  const side = ({ level, mean, n }) => [
    `${level}: ${significant(mean)}`,
    element("div", { class: "quiet" }, `n = ${n}`),
  ];
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
      element(
        "p",
        { class: "quiet" },
        "A claim is treated as one run: it stands if it lies in the prediction interval for one further run.",
      ),
    );
  }
  if (data.claims.length) place.append(claimsTable(), element("p", { class: "quiet" }, "Accuracies in per cent."));
  if (data.claims.some((claim) => claim.swing)) {
    place.append(element("h3", {}, "The same figures in every epoch of every completed run"), epochsTable());
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
  effect.factors
    .map((factor, index) => `${factor}: ${effect.levels[index][0]} → ${effect.levels[index][1]}`)
    .join(" × ") + (effect.where ? `, where ${effect.where}` : "");

function effectsPlot(effects) {
  const labels = rowLabels(effects.map(effectName));
  const means = effects.map((effect) => 100 * effect.mean);
  const reach = (end, sign) =>
    effects.map((effect, index) =>
      effect.interval[end] == null ? 0 : sign * (100 * effect.interval[end] - means[index]),
    );
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
    description: "Effect of each factor on the test error with 95 % intervals; the table below lists the same values",
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
    metric.conclusion,
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
    effect.conclusion,
  ];
}

function showEffects() {
  const { alone, together, unpaired, left_out: leftOut } = data.effects;
  if (!alone.length && !unpaired.length && !leftOut.length) return;
  const place = unhide("effects");
  const columns = (head) => [
    words(head),
    ...heads("test error, points", "95 % interval", "corrected p", "seeds", "cells", "pairs left out"),
    words("effect"),
  ];
  if (alone.length)
    place.append(
      plot(() => effectsPlot(alone)),
      plainTable(columns("factor"), alone.map(effectRow)),
    );
  if (data.changes.length) {
    const bases = new Map(data.changes.map(({ base, levels }) => [base, levels]));
    const definition = ([base, levels]) =>
      `${base} is ${Object.entries(levels)
        .map((pair) => pair.join("="))
        .join(", ")}.`;
    place.append(
      element("h3", {}, "One change at a time"),
      element("p", { class: "quiet" }, [...bases].map(definition).join(" ")),
      changesTable(),
    );
  }
  if (together.length)
    place.append(
      element("h3", {}, "Two factors together"),
      plainTable(columns("interaction"), together.map(effectRow)),
    );
  const method =
    "Runs are paired by seed and by the levels of all other factors; each seed's mean over those cells is one observation. An effect counts as shown if its p value, corrected for the number of effects (Holm), is below 0.05; where cells disagree or the design has holes, each is listed and no average is taken.";
  if (alone.length) place.append(element("p", { class: "quiet" }, method));
  if (unpaired.length)
    place.append(
      element(
        "p",
        {},
        `Effects that can't be determined, since no two completed runs differ in the factor alone: ${unpaired.join(", ")}.`,
      ),
    );
  if (leftOut.length)
    place.append(element("p", {}, `Left out, since they have too many levels: ${leftOut.join(", ")}.`));
}
