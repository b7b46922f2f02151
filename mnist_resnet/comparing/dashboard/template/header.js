// The header: sweeps, job statuses, numerics, shared settings.
function counted(statuses) {
  const parts = Object.entries(statuses).map(([status, count]) =>
    element("span", { class: status }, `${count.toLocaleString("en")} ${status}`),
  );
  return parts.flatMap((part, index) => (index ? [" · ", part] : [part]));
}

function sweepLines(sweep) {
  const code = sweep.commit && [element("code", {}, sweep.commit), sweep.dirty ? " with uncommitted changes" : ""];
  return definitions([
    ["Command", sweep.command && element("code", {}, sweep.command)],
    ["Code", code],
    ["Started", sweep.created],
    ["Folder", element("code", {}, sweep.folder)],
  ]);
}

function constants() {
  const setting = ([key, value]) => element("code", {}, `${key}=${value}`);
  const choices = data.constant.filter(([, value, choice]) => choice && value !== "null");
  const keys = data.constant.filter(([, , choice]) => !choice);
  return [
    choices.flatMap((entry, index) => (index ? ["  ", setting(entry)] : [setting(entry)])),
    keys.length &&
      element(
        "details",
        {},
        element("summary", {}, `and ${plural(keys.length, "config key")}`),
        definitions(keys.map(([key, value]) => [key, value])),
      ),
  ];
}

function showHeader() {
  const numerics = Object.entries(data.numerics);
  const started = numerics.reduce((sum, [, count]) => sum + count, 0);
  const descriptions = numerics.map(([text, count]) =>
    numerics.length > 1 ? `${text} (${count} of ${started})` : text,
  );
  const live = (data.statuses.running ?? 0) + (data.statuses.queued ?? 0);
  document.getElementById("header").append(
    element("h1", {}, data.title),
    definitions([
      ["Runs", [plural(jobs.length, "run"), jobs.length ? ": " : "", counted(data.statuses)]],
      ["Numerics", descriptions.join("; ")],
      ["Shared by all", data.constant.length ? constants() : null],
      [
        "Notes",
        data.notes.length
          ? data.notes.map(([note, count]) => element("div", {}, `${note} (${plural(count, "run")})`))
          : null,
      ],
      ["Written", live ? `${data.written}, with ${plural(live, "run")} unfinished; reload to update` : data.written],
    ]),
  );
  const several = data.sweeps.length > 1;
  for (const sweep of data.sweeps)
    document.getElementById("header").append(...(several ? [element("h3", {}, sweep.label)] : []), sweepLines(sweep));
  if (data.remarks.length)
    document.getElementById("header").append(
      element(
        "ul",
        { class: "remarks" },
        data.remarks.map((line) => element("li", {}, line)),
      ),
    );
}

function showSections() {
  const links = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden);
  document
    .getElementById("sections")
    .append(
      ...links.map((section) => element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)),
    );
}
