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

const RELOAD_SECONDS = 30; // as often as a running sweep writes its page at most

// Reloads the page of a running sweep, unless someone is busy on it. The view is in the address and stays.
function reloading() {
  setInterval(() => {
    const busy = document.querySelector("dialog[open]") || document.activeElement?.matches("input[type=search], select");
    if (view.reload && !document.hidden && !busy) location.reload();
  }, 1000 * RELOAD_SECONDS);
  const toggle = (event) => setView({ reload: event.target.checked });
  const box = element("input", { type: "checkbox", checked: view.reload, onchange: toggle });
  return element("label", { class: "check" }, box, `reload every ${RELOAD_SECONDS} seconds`);
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
      ["Written", live ? [`${data.written}, with ${plural(live, "run")} unfinished. `, reloading()] : data.written],
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
  const links = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden && section.id !== "picked");
  document
    .getElementById("sections")
    .append(
      ...links.map((section) => {
        // the address holds the view, so that a link into the page must not replace it
        const go = (event) => {
          event.preventDefault();
          section.scrollIntoView();
          section.tabIndex = -1;
          section.focus({ preventScroll: true });
        };
        return element("a", { href: `#${section.id}`, onclick: go }, section.querySelector("h2").textContent);
      }),
    );
}
