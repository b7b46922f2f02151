// One run in a dialog: results, differences from the base config, environment, log.
const RUN_ACCURACIES = [
  ["test_accuracy", "test"],
  ["train_accuracy", "training"],
  ["val_accuracy", "held-out"],
];

// One plot of the image classifier's errors, and one of each metric that the run's task reports itself.
function ownPlots(number) {
  const measured = ([metric]) => data.curves[metric]?.[number]?.some((value) => value != null);
  const errors = RUN_ACCURACIES.filter(measured);
  const reported = data.metrics.map(({ name, title }) => [name, title]).filter(measured);
  const makers = reported.map((series) => () => ownCurves(number, [series], series[1], false));
  if (errors.length) makers.unshift(() => ownCurves(number, errors, "error, %", true));
  return makers.map((make) => plot(make));
}

function ownCurves(number, series, title, log) {
  const traces = series.map(([metric, name], index) => {
    const values = metricValues(metric)[number];
    return {
      x: values.map((_, epoch) => epoch),
      y: values,
      name: inert(name),
      type: "scatter",
      mode: "lines+markers",
      marker: { size: 5 },
      line: { color: seriesColour(index), width: 2 },
      hovertemplate: `${inert(name)}: %{y:.3~g}<extra></extra>`,
    };
  });
  return {
    traces,
    layout: layout({
      height: 260,
      showlegend: traces.length > 1,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
      hovermode: "x unified",
      xaxis: epochAxis(traces[0]?.x.length ?? 0, isReported(jobs[number])),
      yaxis: valueAxis(
        traces.flatMap((trace) => trace.y),
        log,
        { title: { text: inert(title) } },
      ),
    }),
    description: `${title} of ${jobs[number].name} by ${isReported(jobs[number]) ? "report" : "epoch"}`,
  };
}

const wholeConfig = (job) =>
  Object.entries(settingsOf(job)).map(([key, value]) => element("div", {}, `${key}=${value}`));

function environmentOf(job) {
  const own = Object.fromEntries(job.environment.map(([key, , value]) => [key, value]));
  return definitions(Object.entries({ ...data.sweeps[job.sweep].environment, ...own }));
}

function figuresOf(job) {
  const best =
    job.best_test_accuracy == null
      ? null
      : `${percent(job.best_test_accuracy)} % test accuracy in epoch ${job.best_epoch}, picked on ${job.picked_on === "val" ? "held-out images" : "the test set"}`;
  const last =
    job.test_accuracy == null
      ? null
      : `${percent(job.test_accuracy)} % test, ${percent(job.train_accuracy)} % training${job.val_accuracy == null ? "" : `, ${percent(job.val_accuracy)} % held-out`} accuracy`;
  return definitions(
    [
      ["Status", element("span", { class: job.status }, job.status)],
      isReported(job) ? ["Reports", `${job.done}`] : ["Epochs", `${job.done} of ${job.epochs ?? "?"}`],
      ["Last epoch", last],
      ["Best epoch", best],
      ...data.metrics.map((metric) => [metric.title, job[metric.name] == null ? null : metricText(metric)(job[metric.name])]),
      [
        "Time",
        job.seconds == null
          ? null
          : duration(job.seconds) +
            (job.images_per_second == null ? "" : `, ${significant(job.images_per_second)} images per second`),
      ],
      ["Parameters", job.parameters?.toLocaleString("en")],
      ["Folder", element("code", {}, job.folder)],
      ["Signature", job.signature && element("code", {}, job.signature)],
      [
        "Attempts",
        job.attempts.length > 0 &&
          element(
            "span",
            {},
            job.attempts.map((line) => element("div", {}, line)),
          ),
      ],
    ].filter(([, value]) => value),
  );
}

function changedTable(job) {
  if (!job.changed.length) return element("p", {}, "Nothing: this run has the sweep's base config.");
  return plainTable([{ head: "key" }, { head: "most runs of the sweep" }, { head: "this run" }], job.changed);
}

function showMistakesOf(number) {
  document.getElementById("run").close();
  const list = document.getElementById("mistakes-of");
  list.value = number;
  list.dispatchEvent(new Event("change"));
  document.getElementById("mistakes").scrollIntoView();
  list.focus({ preventScroll: true });
}

function openRun(number) {
  const job = jobs[number];
  const dialog = document.getElementById("run");
  const part = (title, ...content) => [element("h3", {}, title), ...content];
  const mistakes =
    data.mistakes.confusion[number] &&
    element("button", { type: "button", onclick: () => showMistakesOf(number) }, "Its mistakes");
  const figures = ownPlots(number);
  dialog.replaceChildren(
    element(
      "header",
      {},
      element("h2", { id: "run-title" }, job.name),
      element("button", { type: "button", onclick: () => dialog.close() }, "Close"),
    ),
    ...[
      job.error &&
        part(
          "Error",
          element("p", { class: job.status }, job.error),
          job.traceback && job.traceback !== job.error && element("pre", { tabindex: "0" }, job.traceback),
        ),
      job.notes.length &&
        part(
          "Notes",
          element(
            "ul",
            {},
            job.notes.map((note) => element("li", {}, note)),
          ),
        ),
      figuresOf(job),
      mistakes && element("div", { class: "controls" }, mistakes),
      ...figures,
      part(
        "Config: differences from the sweep's base",
        changedTable(job),
        element(
          "details",
          {},
          element("summary", {}, "Whole config"),
          element("pre", { tabindex: "0" }, wholeConfig(job)),
        ),
      ),
      part("Environment", environmentOf(job)),
      job.log && part("End of the log", element("pre", { tabindex: "0" }, job.log)),
    ]
      .flat()
      .filter(Boolean),
  );
  rowOf(number)?.classList.add("open");
  dialog.onclose = () => {
    const opened = rowOf(number);
    opened?.classList.remove("open");
    figures.forEach(forget);
    if (opened && !document.activeElement.closest("#mistakes"))
      opened.querySelector(".name").focus({ preventScroll: true });
  };
  dialog.showModal();
  dialog.scrollTop = 0;
}
