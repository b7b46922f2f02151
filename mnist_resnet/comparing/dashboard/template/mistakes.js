// Which test images were misread, by one run, by the shown runs together, and by most runs.
const PICTURES_AT_ONCE = 60;
const SIZE = 56; // of a picture, in pixels of the screen, as in page.css
const seen = { run: "", pair: null, most: PICTURES_AT_ONCE };

function picture(set, place, words) {
  if (place < 0) return element("span", { class: "picture none" }, "no picture kept");
  const sheet = `sheet${data.mistakes.sets.indexOf(set)}`;
  const made = element("span", { class: `picture ${sheet}`, role: "img", "aria-label": words });
  const [left, top] = [(place % set.across) * SIZE, Math.floor(place / set.across) * SIZE];
  made.style.backgroundPosition = `${-left}px ${-top}px`;
  return made;
}

// One rule for each sheet of pictures: in each picture's own style its megabyte would stand many times.
function showSheets() {
  const rule = ({ sheet, across, down }, at) =>
    `.sheet${at} { background-image: url(${sheet}); background-size: ${across * SIZE}px ${down * SIZE}px; }`;
  document.head.append(element("style", {}, data.mistakes.sets.map(rule).join("\n")));
}

// Sum of the confusion matrices of some runs, as rows of counts.
function summed(numbers) {
  const matrices = numbers.map((number) => data.mistakes.confusion[number]).filter(Boolean);
  const classes = Math.max(0, ...matrices.map((matrix) => Math.sqrt(matrix.length)));
  const total = Array.from({ length: classes }, () => Array(classes).fill(0));
  for (const matrix of matrices) {
    const own = Math.sqrt(matrix.length);
    matrix.forEach((count, at) => {
      total[Math.floor(at / own)][at % own] += count;
    });
  }
  return { total, runs: matrices.length };
}

const short = (count) => (count < 10000 ? String(count) : `${Math.round(count / 1000)}k`);

function pairButton(count, label, predicted, highest, pick) {
  if (!count) return element("span", { class: "quiet" }, "·");
  const pressed = seen.pair?.[0] === label && seen.pair?.[1] === predicted;
  const words = `${label} taken for ${predicted}: ${count}`;
  const made = element(
    "button",
    { type: "button", title: words, "aria-label": words, "aria-pressed": String(pressed) },
    short(count),
  );
  made.style.setProperty("--share", `${Math.round(75 * Math.sqrt(count / highest))}%`);
  made.addEventListener("click", () => pick(pressed ? null : [label, predicted]));
  return made;
}

function confusionTable(total, pick) {
  const wrong = total.flatMap((row, label) => row.filter((_, predicted) => predicted !== label));
  const highest = Math.max(1, ...wrong);
  const rows = total.map((row, label) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, `${label}`),
      row.map((count, predicted) =>
        predicted === label
          ? element(
              "td",
              { class: "diagonal" },
              element("span", { title: `${label} read right: ${count}` }, short(count)),
            )
          : element("td", {}, pairButton(count, label, predicted, highest, pick)),
      ),
    ),
  );
  const heads = element(
    "tr",
    {},
    element("td"),
    total.map((_, predicted) => element("th", { scope: "col" }, `${predicted}`)),
  );
  return element(
    "table",
    { class: "confusion" },
    element("caption", { class: "axis" }, "rows: the image's label; columns: what it was taken for"),
    element("thead", {}, heads),
    element("tbody", {}, rows),
  );
}

function misreadItem(set, [place, index, label, predicted, sure, ofLabel]) {
  const words = `${label} taken for ${predicted}`;
  return element(
    "li",
    {},
    picture(set, place, words),
    element("b", {}, `${label} → ${predicted}`),
    ` ${surely(sure)}`,
    element("br"),
    element("span", { class: "quiet" }, `as ${label}: ${surely(ofLabel)}`),
    element("br"),
    element("span", { class: "quiet" }, `image ${index}`),
  );
}

function misreadOf(number, again) {
  const { misread, sets, set } = data.mistakes;
  const fits = ([, , label, predicted]) => !seen.pair || (label === seen.pair[0] && predicted === seen.pair[1]);
  const found = misread[number].filter(fits);
  const matrix = data.mistakes.confusion[number];
  const classes = Math.sqrt(matrix.length);
  const wrong = matrix.reduce((sum, count, at) => sum + (Math.floor(at / classes) === at % classes ? 0 : count), 0);
  const all = seen.pair ? (matrix[seen.pair[0] * classes + seen.pair[1]] ?? 0) : wrong;
  const visible = found.slice(0, seen.most);
  const what = seen.pair ? `${seen.pair[0]} taken for ${seen.pair[1]}` : "misread";
  const more =
    found.length > visible.length &&
    element(
      "button",
      {
        type: "button",
        onclick: () => {
          seen.most += PICTURES_AT_ONCE;
          again();
        },
      },
      "More",
    );
  return [
    element("h3", {}, `${plural(all, "image")} ${what}, what it was surest of first`),
    found.length < all && element("p", { class: "quiet" }, `The page carries ${found.length} of them.`),
    element(
      "ul",
      { class: "pictures" },
      visible.map((entry) => misreadItem(sets[set[number]], entry)),
    ),
    element("div", { class: "controls" }, more),
  ].filter(Boolean);
}

function oftenItem(set, { index, place, label, jobs: count, taken }) {
  const [first, ...others] = taken;
  const part = ([predicted, times, sure]) => `${label} → ${predicted}: ${times}×, ${surely(sure)}`;
  return element(
    "li",
    { title: taken.map(part).join("\n") },
    picture(set, place, `${label}, misread by ${count} runs`),
    element("b", {}, `${count} of ${set.jobs}`),
    element("br"),
    `${label} → ${first[0]} ${surely(first[2])}`,
    element("br"),
    element(
      "span",
      { class: "quiet" },
      `image ${index}${others.length ? `, also → ${others.map(([predicted]) => predicted).join(", ")}` : ""}`,
    ),
  );
}

function oftenMisread() {
  const fits = ({ label, taken }) =>
    !seen.pair || (label === seen.pair[0] && taken.some(([predicted]) => predicted === seen.pair[1]));
  return data.mistakes.sets.flatMap((set) => [
    element(
      "h3",
      {},
      `Misread by most runs${data.mistakes.sets.length > 1 ? `, on test set ${set.sha256} (${plural(set.jobs, "run")})` : ""}`,
    ),
    element(
      "p",
      { class: "quiet" },
      `Of all ${plural(set.jobs, "run")} with predictions, whatever the table shows: how many misread the image, what most of them took it for and how surely on average.`,
    ),
    element(
      "ul",
      { class: "pictures" },
      set.often.filter(fits).map((entry) => oftenItem(set, entry)),
    ),
  ]);
}

function fillMistakes(place) {
  const again = () => fillMistakes(place);
  const pick = (pair) => {
    seen.pair = pair;
    seen.most = PICTURES_AT_ONCE;
    again();
  };
  const numbers = seen.run === "" ? shown : [Number(seen.run)];
  const { total, runs } = summed(numbers);
  const wrong = total
    .flatMap((row, label) => row.filter((_, predicted) => predicted !== label))
    .reduce((a, b) => a + b, 0);
  const focus = document.activeElement?.closest?.(".confusion button")?.getAttribute("aria-label");
  place.replaceChildren(
    element(
      "div",
      {},
      element(
        "p",
        {},
        `${plural(wrong, "misread image")} in ${plural(runs, "run")} with predictions. Press a count to see those images alone.`,
      ),
      element("div", { class: "scroll" }, confusionTable(total, pick)),
      element(
        "div",
        { class: "controls" },
        seen.pair && element("button", { type: "button", onclick: () => pick(null) }, "All pairs"),
      ),
    ),
    element("div", {}, seen.run === "" ? oftenMisread() : misreadOf(Number(seen.run), again)),
  );
  if (focus)
    [...place.querySelectorAll(".confusion button")]
      .find((button) => button.getAttribute("aria-label") === focus)
      ?.focus();
}

function showMistakes() {
  if (!data.mistakes.sets.length) return;
  showSheets();
  const place = unhide("mistakes");
  const runs = jobs.flatMap((job, number) => (data.mistakes.confusion[number] ? [[number, job.name]] : []));
  if (runs.length === 1) seen.run = runs[0][0];
  const content = element("div", { class: "two" });
  const list = selector(
    "Mistakes of",
    [["", "all runs that the table shows"], ...runs],
    (run) => {
      seen.run = run;
      seen.pair = null;
      seen.most = PICTURES_AT_ONCE;
      fillMistakes(content);
    },
    seen.run,
  );
  list.querySelector("select").id = "mistakes-of";
  place.append(element("div", { class: "controls" }, list), content);
  fillMistakes(content);
  listeners.push(() => {
    if (seen.run === "") fillMistakes(content);
  });
}
