// The picked runs side by side: results, and the settings in which they differ.
const MOST_SIDE_BY_SIDE = 12;

function settingsOf(job) {
  const settings = { ...data.sweeps[job.sweep].base };
  for (const [key, , own] of job.changed) {
    if (own == null) delete settings[key];
    else settings[key] = own;
  }
  return settings;
}

function fillPicked() {
  const numbers = view.picked.slice(0, MOST_SIDE_BY_SIDE);
  const section = document.getElementById("picked");
  section.hidden = !numbers.length;
  if (!numbers.length) return;
  const settings = numbers.map((number) => settingsOf(jobs[number]));
  const keys = [...new Set(settings.flatMap(Object.keys))];
  const differing = keys.filter((key) => new Set(settings.map((own) => own[key])).size > 1);
  const results = quantities.filter((item) => item.factor === undefined && !["trial", "test_error", "train_error"].includes(item.key));
  const lines = [
    ["status", ...numbers.map((number) => element("span", { class: jobs[number].status }, jobs[number].status))],
    ...results.map((item) => [item.name, ...numbers.map((number) => resultText(item, jobs[number]))]),
    ...differing.map((key) => [element("code", {}, key), ...settings.map((own) => own[key] ?? ABSENT)]),
  ];
  const left = view.picked.length - numbers.length;
  section.querySelector("div").replaceChildren(
    plainTable([{ head: "run" }, ...numbers.map((number) => ({ head: shortestName(number), number: true }))], lines),
    element(
      "p",
      { class: "quiet" },
      [
        numbers.length < 2
          ? "Pick more runs to see the settings in which they differ."
          : `${plural(differing.length, "setting")} differ${differing.length === 1 ? "s" : ""}, ${keys.length - differing.length} are the same.`,
        left > 0 ? ` ${plural(left, "more picked run")} not listed.` : "",
      ].join(""),
    ),
  );
}

// The levels that tell a run from the other picked ones.
function shortestName(number) {
  const telling = factors.flatMap((factor, index) =>
    new Set(view.picked.map((other) => jobs[other].levels[index])).size > 1
      ? [`${leaf(factor.key)}=${level(jobs[number], index)}`]
      : [],
  );
  return telling.join(", ") || shortName(jobs[number]);
}

function showPicked() {
  fillPicked();
  listen(["picked"], fillPicked);
}
