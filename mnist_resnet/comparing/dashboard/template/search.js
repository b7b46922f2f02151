// A search: each trial's value, the best so far, the pruned ones, and what a search of fewer trials would have found.
function historyPlot() {
  const { name, minimize, unit, values } = data.search;
  const trials = shown
    .filter((number) => values[number] != null)
    .map((number) => ({ number, trial: jobs[number].index, value: unit * values[number], status: jobs[number].status }))
    .sort((a, b) => a.trial - b.trial);
  const completed = trials.filter(({ status }) => status === "completed");
  const better = (a, b) => (minimize ? Math.min(a, b) : Math.max(a, b));
  let soFar = null;
  const best = completed.map(({ value }) => (soFar = soFar == null ? value : better(soFar, value)));
  const points = (title, members, marker) => ({
    x: members.map(({ trial }) => trial),
    y: members.map(({ value }) => value),
    text: members.map(({ number }) => inert(runLabel(number))),
    name: title,
    type: "scatter",
    mode: "markers",
    marker: { size: 8, ...marker },
    hovertemplate: "%{text}<br>%{y:.4~g}<extra></extra>",
    showlegend: true,
  });
  const others = trials.filter(({ status }) => status !== "completed" && status !== "pruned");
  const line = {
    x: completed.map(({ trial }) => trial),
    y: best,
    name: "best so far",
    type: "scatter",
    mode: "lines",
    line: { color: colour("c0"), width: 2, shape: "hv" },
    hoverinfo: "skip",
    showlegend: true,
  };
  const expected = data.search.expected.map((entry) => entry.map((value) => unit * value));
  const drawn = {
    x: expected.map((_, index) => index),
    y: expected.map(([mean]) => mean),
    customdata: expected.map(([, low, high], index) => [index + 1, low, high]),
    name: "expected best of as many random trials",
    type: "scatter",
    mode: "lines",
    line: { color: colour("c2"), width: 2, dash: "dash" },
    hovertemplate: "best of %{customdata[0]}: %{y:.4~g} (%{customdata[1]:.4~g} to %{customdata[2]:.4~g})<extra></extra>",
    showlegend: true,
  };
  return {
    traces: [
      line,
      ...(isFiltered() ? [] : [drawn]), // it is of all trials
      points("completed", completed, { color: colour("c0") }),
      points("pruned, value of its last epoch", trials.filter(({ status }) => status === "pruned"), {
        color: colour("c1"),
        symbol: "x",
      }),
      ...(others.length ? [points("failed, diverged or not ended", others, { color: colour("quiet"), symbol: "circle-open" })] : []),
    ],
    layout: layout({
      height: 380,
      hovermode: "closest",
      showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      xaxis: axis({ title: { text: "trial" } }),
      yaxis: axis({ title: { text: name } }),
    }),
    description: `${name} of each trial, with the best so far`,
  };
}

// Two of a search's objectives against each other: completed trials, and those that no other one beats in all of them.
function frontPlot(across, up) {
  const { objectives, values } = data.front;
  const best = new Set(data.front.front);
  const at = (number, objective) => objectives[objective].unit * values[number][objective];
  const trials = shown.filter((number) => values[number]);
  const points = (title, members, marker) => ({
    x: members.map((number) => at(number, across)),
    y: members.map((number) => at(number, up)),
    text: members.map((number) => inert(runLabel(number))),
    name: title,
    type: "scatter",
    mode: "markers",
    marker: { size: 9, ...marker },
    hovertemplate: "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
    showlegend: true,
  });
  const front = trials.filter((number) => best.has(number)).sort((a, b) => at(a, across) - at(b, across));
  const steps = {
    x: front.map((number) => at(number, across)),
    y: front.map((number) => at(number, up)),
    type: "scatter",
    mode: "lines",
    line: { color: colour("c1"), width: 1.5, dash: "dot" },
    hoverinfo: "skip",
    showlegend: false,
  };
  const named = ({ name, minimize }) => `${name} (${minimize ? "lower" : "higher"} is better)`;
  const valuesOf = (objective) => trials.map((number) => at(number, objective));
  return {
    traces: [
      ...(objectives.length === 2 ? [steps] : []), // with three, the front is no line in two of them
      points("other trials", trials.filter((number) => !best.has(number)), { color: colour("quiet") }),
      points("Pareto front", front, { color: colour("c1"), symbol: "diamond" }),
    ],
    layout: layout({
      height: 400,
      hovermode: "closest",
      showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      xaxis: valueAxis(valuesOf(across), spansDecades(valuesOf(across)), { title: { text: inert(named(objectives[across])) } }),
      yaxis: valueAxis(valuesOf(up), spansDecades(valuesOf(up)), { title: { text: inert(named(objectives[up])) } }),
    }),
    description: `Pareto front: ${objectives[up].name} against ${objectives[across].name}, ${plural(front.length, "trial")} on the front`,
  };
}

function frontParts() {
  const names = data.front.objectives.map(({ name }, index) => [String(index), name]);
  const chosen = [0, 1];
  const figure = plot(() => frontPlot(...chosen));
  const choose = (place) => (index) => {
    chosen[place] = Number(index);
    figure.redraw();
  };
  listen(["shown"], figure.redraw);
  return [
    ...(names.length > 2
      ? [
          element(
            "div",
            { class: "controls" },
            selector("Across", names, choose(0), "0"),
            selector("Up", names, choose(1), "1"),
          ),
        ]
      : []),
    figure,
    element("p", { class: "quiet" }, `The trials that no other one beats in all objectives: ${data.front.text}.`),
  ];
}

function historyParts() {
  const figure = plot(historyPlot);
  listen(["shown"], figure.redraw);
  return [
    figure,
    element(
      "p",
      { class: "quiet" },
      `Objective: ${data.search.name} of the ${data.search.epoch} epoch. Pruned trials end where their curves end: choose “each shown run” at the training curves.`,
    ),
  ];
}

function showSearch() {
  if (!data.search && !data.front) return;
  unhide("search").append(
    ...(data.search ? historyParts() : frontParts()),
    ...(data.space.length
      ? [
          element(
            "details",
            {},
            element("summary", {}, "What is searched"),
            plainTable([{ head: "key" }, { head: "range" }], data.space.map(([key, typed]) => [element("code", {}, key), typed])),
          ),
        ]
      : []),
  );
}
