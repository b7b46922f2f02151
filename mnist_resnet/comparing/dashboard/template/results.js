// Results: groups of seeds, claims compared with measurements, the effect of each factor.
const isNumber = (value) => value != null;
const error = (accuracy) => (accuracy == null ? null : 100 * (1 - accuracy));
const signed = (points) => {
  if (points == null) return ABSENT;
  const size = fixed(Math.abs(points), 2);
  return Number(size) === 0 ? size : `${points > 0 ? "+" : "−"}${size}`;
};
const probability = (p) => (p == null ? ABSENT : p < 0.001 ? "< 0.001" : fixed(p, 3));
// An effect in the unit of the page: points have two decimals, other units the digits that they need.
const effectText = (value) => {
  const scaled = value == null ? null : data.effect_unit.factor * value;
  return data.effect_unit.factor === 100 ? signed(scaled) : change(scaled);
};
const between = ([low, high], format) => (low == null ? ABSENT : `${format(low)} to ${format(high)}`);
const heads = (...names) => names.map((name) => (typeof name === "string" ? { head: name, number: true } : name));
const words = (head) => ({ head });
const prose = (head) => ({ head, wrap: true });

const groupKeys = factors.flatMap((factor, index) => (isSeed(factor.key) ? [] : [index]));
const judged = data.judged ?? jobs.map((_, number) => number);
const membersOf = new Map();
for (const number of judged) {
  const key = JSON.stringify(groupKeys.map((index) => level(jobs[number], index)));
  if (!membersOf.has(key)) membersOf.set(key, []);
  membersOf.get(key).push(number);
}

// The groups of seeds that have a shown run. A group of which only some are shown is described anew, without interval.
function shownGroups() {
  const visible = new Set(shown);
  return data.groups.flatMap((group) => {
    const members = membersOf.get(JSON.stringify(group.levels)) ?? [];
    const kept = members.filter((number) => visible.has(number));
    if (!kept.length) return [];
    return [kept.length === members.length ? group : partOf(group, kept)];
  });
}

function partOf(group, numbers) {
  const completed = numbers.filter((number) => jobs[number].status === "completed");
  const described = (measure) => {
    const values = completed.map((number) => jobs[number][measure]).filter((value) => value != null);
    const n = values.length;
    const mean = n ? values.reduce((sum, value) => sum + value, 0) / n : null;
    const sd = n > 1 ? Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1)) : null;
    const [min, max] = n ? [Math.min(...values), Math.max(...values)] : [null, null];
    return { mean, sd, low: null, high: null, min, max };
  };
  const own = data.metrics.map((metric) => metric.name);
  const measures = ["test_accuracy", "train_accuracy", "best_test_accuracy", "training_seconds", ...own];
  const figures = Object.fromEntries(measures.map((measure) => [measure, described(measure)]));
  return { ...group, ...figures, n: completed.length, jobs: numbers.length, part: true };
}

const hasTimes = (group) => group.test_accuracy?.mean != null && group.training_seconds?.mean != null;
const hasAccuracy = (group) => group.test_accuracy?.mean != null;
const MOST_LABELS = 16;
const TIMES_HEIGHT = 420; // in CSS pixels

function groupName(group) {
  const longName = group.levels.map((name, index) => `${leaf(factors[groupKeys[index]].key)}=${name}`).join(", ") || "all";
  return group.short ? (group.short.length === 1 ? `${group.short}: ${longName}` : group.short) : longName;
}

// Names of groups with just the factors in which they differ from each other; a sweep's name is none where a setting
// tells the sweeps apart.
function tellingNames(groups) {
  const count = (...indices) => new Set(groups.map(({ levels }) => JSON.stringify(indices.map((index) => levels[index])))).size;
  const differing = groupKeys.flatMap((_, index) => (count(index) > 1 ? [index] : []));
  const isSaid = (index) =>
    differing.some((other) => other !== index && count(other) === count(index) && count(other, index) === count(index));
  const telling = differing.filter((index) => factors[groupKeys[index]].key !== "sweep" || !isSaid(index));
  return groups.map((group) =>
    group.short || !telling.length
      ? groupName(group)
      : telling.map((index) => `${leaf(factors[groupKeys[index]].key)}=${group.levels[index]}`).join(", "),
  );
}

// Where each mark's name stands, so that none lies over another name or mark; null for one without room.
function placesOfNames(marks, names, [width, height]) {
  const taken = marks.map(([x, y]) => [x - 5, y - 5, x + 5, y + 5]);
  const isFree = (box) => taken.every((other) => box[0] >= other[2] || other[0] >= box[2] || box[1] >= other[3] || other[1] >= box[3]);
  const isInside = ([left, top, right, bottom]) => left >= 0 && top >= 0 && right <= width && bottom <= height;
  return marks.map(([x, y], index) => {
    const [half, high, off] = [3 * names[index].length, 12, 7];
    const boxes = [
      ["top center", [x - half, y - off - high, x + half, y - off]],
      ["bottom center", [x - half, y + off, x + half, y + off + high]],
      ["middle right", [x + off, y - high / 2, x + off + 2 * half, y + high / 2]],
      ["middle left", [x - off - 2 * half, y - high / 2, x - off, y + high / 2]],
    ];
    const found = boxes.find(([, box]) => isInside(box) && isFree(box));
    if (found) taken.push(found[1]);
    return found ? found[0] : null;
  });
}

// Accuracy against training time for each group of seeds, with the group's name at its mark while there are few.
function timesPlot(width) {
  const groups = shownGroups().filter(hasTimes);
  const names = groups.map(groupName);
  const labels = distinctlyCut(tellingNames(groups), 28);
  const bars = (metric, factor) => ({
    type: "data",
    symmetric: false,
    array: groups.map(({ [metric]: summary }) => (summary.high == null ? 0 : factor * (summary.high - summary.mean))),
    arrayminus: groups.map(({ [metric]: summary }) => (summary.low == null ? 0 : factor * (summary.mean - summary.low))),
    color: colour("quiet"),
    thickness: 1,
    width: 3,
  });
  const seconds = groups.map((group) => group.training_seconds.mean);
  const accuracies = groups.map((group) => 100 * group.test_accuracy.mean);
  const reach = (metric, factor) =>
    groups.flatMap(({ [metric]: { mean, low, high } }) => [mean, low ?? mean, high ?? mean].map((end) => factor * end));
  const [across, up] = [reach("training_seconds", 1), reach("test_accuracy", 100)];
  const axes = [
    valueAxis(across, spansDecades(across), { title: { text: "training, seconds" } }),
    valueAxis(up, false, { title: { text: "test accuracy, %" } }),
  ];
  const size = [width - ROUND_PLOTS.width, TIMES_HEIGHT - ROUND_PLOTS.height];
  const [right, top] = axes.map(({ type, range: [from, to] }) => (value) => ((type === "log" ? Math.log10(value) : value) - from) / (to - from));
  const places = placesOfNames(
    seconds.map((x, index) => [right(x) * size[0], (1 - top(accuracies[index])) * size[1]]),
    labels,
    size,
  );
  return {
    traces: [
      {
        x: seconds,
        y: accuracies,
        error_x: bars("training_seconds", 1),
        error_y: bars("test_accuracy", 100),
        text: labels.map((label, index) => (places[index] ? inert(label) : "")),
        customdata: names.map(inert),
        textposition: places.map((place) => place ?? "top center"),
        textfont: { size: 10 },
        type: "scatter",
        mode: groups.length <= MOST_LABELS ? "markers+text" : "markers",
        marker: { size: 9, color: colour("c0") },
        hovertemplate: "%{customdata}<br>%{y:.2f} % in %{x:.3g} s<extra></extra>",
      },
    ],
    layout: layout({
      height: TIMES_HEIGHT,
      hovermode: "closest",
      xaxis: axes[0],
      yaxis: axes[1],
    }),
    description: "Test accuracy against seconds of training: mean of each group with 95 % intervals",
  };
}

const ACCURACIES = [
  "test accuracy, %",
  "sd",
  "95 % interval",
  "lowest",
  "highest",
  "training accuracy, %",
  "sd of training",
  "best epoch's test, %",
];

function groupsTable() {
  const by = groupKeys.map((index) => ({ head: factors[index].key, number: factors[index].numeric }));
  const timed = data.groups.some(hasTimes);
  const groups = shownGroups();
  const interval = (group, metric, text = percent) =>
    group.part ? "part of the runs" : between([group[metric].low, group[metric].high], text);
  const accuracies = data.groups.some(hasAccuracy) || !data.metrics.length;
  const accuraciesOf = (group) => [
    percent(group.test_accuracy.mean),
    percent(group.test_accuracy.sd),
    interval(group, "test_accuracy"),
    percent(group.test_accuracy.min),
    percent(group.test_accuracy.max),
    percent(group.train_accuracy.mean),
    percent(group.train_accuracy.sd),
    percent(group.best_test_accuracy.mean),
  ];
  const ownOf = (group) =>
    data.metrics.flatMap((metric) => {
      const [figures, text] = [group[metric.name], metricText(metric)];
      return [text(figures.mean), text(figures.sd), interval(group, metric.name, text)];
    });
  const rows = groups.map((group) => [
    ...(by.length ? group.levels : ["all"]),
    group.n === group.jobs ? `${group.n}` : `${group.n} of ${group.jobs}`,
    ...(accuracies ? accuraciesOf(group) : []),
    ...ownOf(group),
    ...(timed ? [significant(group.training_seconds.mean)] : []),
  ]);
  const columns = [
    ...(by.length ? by : [words("runs")]),
    ...heads(
      "n",
      ...(accuracies ? ACCURACIES : []),
      ...data.metrics.flatMap(({ title }) => [title, `sd of ${title}`, `interval of ${title}`]),
      ...(timed ? ["training, s"] : []),
    ),
  ];
  return plainTable(columns, rows);
}

function showGroups() {
  if (!data.groups.length) {
    if (jobs.length < 2) return;
    unhide("groups").append(
      element("p", {}, "Each config has one run: with more seeds (seed=1,2,3) this part shows means and intervals."),
    );
    return;
  }
  const table = element("div");
  whenSeen(table, () => table.replaceChildren(groupsTable()));
  const figure = data.groups.filter(hasTimes).length > 1 ? plot(timesPlot) : null;
  unhide("groups").append(
    ...(figure ? [figure] : []),
    table,
    element(
      "p",
      { class: "quiet" },
      `Figures of the last epoch over n completed runs: mean, standard deviation between seeds, and confidence interval of the mean (Student's t). A group of which the filter hides some runs has no interval. ${data.judged ? "Runs that differ in one source of randomness alone are left out: they spread less. " : ""}${data.picked}`,
    ),
  );
  listen(["shown"], () => {
    table.redraw();
    figure?.redraw();
  });
}

const HEIGHT_OF_FEW_CLAIMS = 320; // in CSS pixels: the legend has half of it at most, and scrolls in less

function claimsPlot(claims) {
  const figures = claims.map((claim) => `${claim.metric.replace("_", " ")}, ${claim.epoch} epoch`);
  const areAlike = new Set(figures).size === 1 && claims.length > 1;
  const labels = rowLabels(claims.map((claim, row) => (areAlike ? claimGroup(claim) : `${claimGroup(claim)}: ${figures[row]}`)));
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
    ].filter(({ x }) => x.some(isNumber)),
    layout: layout({
      height: Math.max(HEIGHT_OF_FEW_CLAIMS, 150 + labels.height),
      annotations: labels.annotations,
      showlegend: true,
      legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 },
      xaxis: valueAxis(
        claims.flatMap((claim) => [...claim.values, ...claim.prediction, ...claim.interval, claim.value].filter(isNumber).map(plotted)),
        true,
        { title: { text: `error${areAlike ? ` (${figures[0]})` : ""}, % (left is better)` } },
      ),
      yaxis: labels.yaxis,
    }),
    description:
      "Claimed figures, the runs, their mean with its interval, and the prediction interval for one further run; the table below lists the same values",
  };
}

const formatter = (claim) => (claim.accuracy ? (value) => percent(value) : (value) => significant(value, 4));

const claimGroup = ({ group, sweep }) => (data.sweeps.length > 1 ? `${group} (${sweep})` : group);

const claimName = (claim) => [
  claimGroup(claim),
  element("div", { class: "quiet" }, `${claim.metric.replace("_", " ")}, ${claim.epoch} epoch`),
];

function claimRow(claim) {
  const format = formatter(claim);
  return [
    claimName(claim),
    [element("span", { class: "verdict" }, claim.verdict), element("div", { class: "quiet" }, claim.reason)],
    [format(claim.value), claim.words && element("div", { class: "quiet" }, `“${claim.words}”`)],
    claim.n === claim.jobs ? `${claim.n}` : `${claim.n} of ${claim.jobs}`,
    format(claim.mean),
    between(claim.interval, format),
    between(claim.prediction, format),
  ];
}

function claimsTable(claims) {
  const measured = heads("n", "measured mean", "95 % interval", "95 % prediction interval");
  return plainTable(
    [prose("config and figure"), prose("verdict"), words("claimed"), ...measured],
    claims.map(claimRow),
  );
}

// The claimed figures in every epoch, since accuracy varies from one epoch to the next.
function epochsTable(claims) {
  const recorded = claims.filter((claim) => claim.swing);
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
          change(answer.effect.mean),
          element("div", { class: "quiet" }, between(answer.effect.interval, (end) => change(end))),
        ];
  return [
    element("span", {}, `“${answer.words}”`),
    [element("span", { class: "verdict" }, answer.finding), element("div", { class: "quiet" }, answer.reason)],
    answer.measure,
    side(answer.better),
    side(answer.worse),
    difference,
  ];
}

// Statistics on all runs keep their figures under a filter: runs picked by their results would make any p value small.
const ALL_RUNS = "These figures are of all runs, also of those that the filter hides: choosing runs after seeing their results would make any difference look shown.";

function fillClaims(place) {
  for (const old of place.querySelectorAll(".plot")) forget(old);
  const visible = new Set(shown);
  const claims = data.claims.filter(({ members }) => members.some((number) => visible.has(number)));
  const measured = claims.some((claim) => claim.accuracy && claim.n);
  const drawable = claims.filter((claim) => measured && claim.accuracy && (claim.n || claim.value != null));
  const others = [...new Set(claims.filter((claim) => !claim.accuracy).map((claim) => claim.metric.replace("_", " ")))];
  const part = (condition, ...content) => (condition ? content : []);
  place.replaceChildren(
    ...part(claims.length < data.claims.length, element("p", {}, `${claims.length} of ${data.claims.length} claims are about shown runs.`)),
    ...part(
      drawable.length,
      plot(() => claimsPlot(drawable)),
      element(
        "p",
        { class: "quiet" },
        "A claim is treated as one run: it stands if it lies in the prediction interval for one further run." +
          (others.length ? ` The plot has accuracies alone; claims about ${others.join(", ")} are in the table.` : ""),
      ),
    ),
    ...part(claims.length, claimsTable(claims), element("p", { class: "quiet" }, "Accuracies in per cent.")),
    ...part(
      claims.some((claim) => claim.swing),
      element("h3", {}, "The same figures in every epoch of every completed run"),
      epochsTable(claims),
    ),
    ...part(
      data.questions.length,
      element("h3", {}, "Claims without a figure"),
      plainTable(
        [
          prose("claim"),
          prose("finding"),
          prose("decided by"),
          words("claimed better"),
          words("claimed worse"),
          ...heads("paired difference"),
        ],
        data.questions.map(questionRow),
      ),
    ),
    ...part(isFiltered(), element("p", { class: "quiet" }, ALL_RUNS)),
  );
}

function showClaims() {
  if (!data.claims.length && !data.questions.length) return;
  const place = unhide("claims");
  whenSeen(place, () => fillClaims(place));
  listen(["shown"], place.redraw);
}

const effectHead = [data.effect_unit.what, data.effect_unit.unit].filter(Boolean).join(", ");

const effectName = (effect) =>
  (effect.base ? `${effect.base}: ` : "") +
  effect.factors
    .map((factor, index) => `${factor}: ${effect.levels[index][0]} → ${effect.levels[index][1]}`)
    .join(" × ") + (effect.where ? `, where ${effect.where}` : "");

function effectsPlot(effects) {
  const labels = rowLabels(effects.map(effectName));
  const { factor, what, better } = data.effect_unit;
  const means = effects.map((effect) => factor * effect.mean);
  const reach = (end, sign) =>
    effects.map((effect, index) =>
      effect.interval[end] == null ? 0 : sign * (factor * effect.interval[end] - means[index]),
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
        customdata: effects.map((effect) => [effectText(effect.mean), between(effect.interval, effectText)]),
        hovertemplate: `%{text}<br>%{customdata[0]} ${inert(data.effect_unit.unit)}, 95 % interval %{customdata[1]}<extra></extra>`,
      },
    ],
    layout: layout({
      height: 100 + labels.height,
      annotations: labels.annotations,
      xaxis: axis({
        title: { text: `change of ${effectHead}${better ? ` (${better} is better)` : ""}` },
        zeroline: true,
        zerolinewidth: 1.5,
      }),
      yaxis: labels.yaxis,
    }),
    description: `Effect of each factor on the ${what} with 95 % intervals; the table below lists the same values`,
  };
}

function changesTable(changes) {
  const rows = changes.map(({ base, metric, seconds }) => [
    base,
    effectName(metric),
    metric.conclusion,
    effectText(metric.mean),
    between(metric.interval, effectText),
    probability(metric.p),
    probability(metric.corrected),
    `${metric.seeds}`,
    change(seconds.mean),
    between(seconds.interval, (end) => change(end)),
  ]);
  const columns = [
    words("from"),
    prose("change"),
    prose("effect"),
    ...heads(effectHead, "95 % interval", "p", "corrected p", "seeds", "training, s", "its 95 % interval"),
  ];
  return plainTable(columns, rows);
}

function effectRow(effect) {
  return [
    effectName(effect),
    effect.conclusion,
    effectText(effect.mean),
    between(effect.interval, effectText),
    probability(effect.p),
    probability(effect.corrected),
    `${effect.seeds}`,
    `${effect.cells}`,
    `${effect.left_out}`,
  ];
}

// Whether a shown run has all of these levels: [key, level] each. Keys that are no factor are passed over.
function hasShown(...levels) {
  const known = levels
    .map(([key, name]) => [factors.findIndex((factor) => factor.key === key), name])
    .filter(([factor]) => factor >= 0);
  return shown.some((number) => known.every(([factor, name]) => level(jobs[number], factor) === name));
}

// Levels that were written as "experiment, key=level, key=level".
const levelsOf = (text) =>
  text ? text.split(", ").map((part) => (part.includes("=") ? part.split("=") : ["experiment", part])) : [];

// Whether shown runs have each of the levels that an effect compares, where it is limited to some others.
const isAboutShown = (effect) =>
  effect.factors.every((key, index) =>
    effect.levels[index].every((name) => hasShown([key, name], ...levelsOf(effect.where))),
  );

function fillEffects(place) {
  for (const old of place.querySelectorAll(".plot")) forget(old);
  const { unpaired, left_out: leftOut, crowded } = data.effects;
  const [alone, together] = [data.effects.alone, data.effects.together].map((effects) => effects.filter(isAboutShown));
  const changes = data.changes.filter(({ metric }) => isAboutShown(metric));
  const drawn = [...alone, ...changes.map(({ base, metric }) => ({ ...metric, base }))].filter(({ mean }) => isNumber(mean));
  const columns = (head) => [
    prose(head),
    prose("effect"),
    ...heads(effectHead, "95 % interval", "p", "corrected p", "seeds", "cells", "pairs left out"),
  ];
  const part = (condition, ...content) => (condition ? content : []);
  const bases = new Map(changes.map(({ base, levels }) => [base, levels]));
  const definition = ([base, levels]) =>
    `${base} is ${Object.entries(levels)
      .map((pair) => pair.join("="))
      .join(", ")}.`;
  const tested = [...data.effects.alone, ...data.effects.together, ...data.changes.map(({ metric }) => metric)];
  const pairing =
    "Runs are paired by seed and by the levels of all other factors; each seed's mean over those cells is one observation.";
  const meaning = tested.some(({ p }) => isNumber(p))
    ? "An effect counts as shown if its p value, corrected for the number of effects (Holm), is below 0.05; where cells disagree or the design has holes, each is listed and no average is taken. Intervals are cut at what is possible, such as an error rate of 0."
    : "None of these is tested: that takes two seeds or more whose changes differ (seed=1,2,3).";
  place.replaceChildren(
    ...part(isFiltered(), element("p", {}, `Effects between levels that the shown runs have. ${ALL_RUNS}`)),
    ...part(
      drawn.length,
      plot(() => effectsPlot(drawn)),
    ),
    ...part(alone.length, plainTable(columns("factor"), alone.map(effectRow))),
    ...part(
      changes.length,
      element("h3", {}, "One change at a time"),
      element("p", { class: "quiet" }, [...bases].map(definition).join(" ")),
      changesTable(changes),
    ),
    ...part(
      together.length,
      element("h3", {}, "Two factors together"),
      plainTable(columns("interaction"), together.map(effectRow)),
    ),
    ...part(tested.some(({ mean }) => isNumber(mean)), element("p", { class: "quiet" }, `${pairing} ${meaning}`)),
    ...part(
      unpaired.length,
      element(
        "p",
        {},
        `Effects that can't be determined, since no two completed runs differ in the factor alone: ${unpaired.join(", ")}.`,
      ),
    ),
    ...part(leftOut.length, element("p", {}, `Left out, since they have too many levels: ${leftOut.join(", ")}.`)),
    ...part(crowded, element("p", {}, `The ${crowded} interactions are left out: too many to list.`)),
  );
}

function showEffects() {
  const { alone, unpaired, left_out: leftOut } = data.effects;
  if (!alone.length && !data.changes.length && !unpaired.length && !leftOut.length) return;
  const place = unhide("effects");
  whenSeen(place, () => fillEffects(place));
  listen(["shown"], place.redraw);
}
