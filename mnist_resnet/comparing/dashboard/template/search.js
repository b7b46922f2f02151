// A search: each trial's value, the best so far, the pruned ones, and what a search of fewer trials would have found.
function historyPlot() {
  const { name, minimize, unit, values } = data.search;
  const trials = shown
    .filter((number) => values[number] != null)
    .map((number) => ({ number, trial: jobs[number].index, value: unit * values[number], status: jobs[number].status }))
    .sort((a, b) => a.trial - b.trial);
  const completed = trials.filter(({ status }) => status === "completed");
  const better = (a, b) => (minimize ? Math.min(a, b) : Math.max(a, b));
  const best = completed.reduce((line, { value }) => [...line, line.length ? better(line.at(-1), value) : value], []);
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
      ...(others.length ? [points("not ended", others, { color: colour("quiet"), symbol: "circle-open" })] : []),
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

function showSearch() {
  if (!data.search) return;
  const place = unhide("search");
  const figure = plot(historyPlot);
  place.append(
    figure,
    element(
      "p",
      { class: "quiet" },
      `Objective: ${data.search.name} of the ${data.search.epoch} epoch. Pruned trials end where their curves end: choose “each shown run” at the training curves.`,
    ),
  );
  listen(["shown"], figure.redraw);
}
