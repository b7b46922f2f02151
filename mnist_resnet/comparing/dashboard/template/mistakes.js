// Misread test images: of one run, of all shown runs, and those misread most often.
const PICTURES_AT_ONCE = 60;
const SIZE = 56; // of a picture in CSS pixels, as in page.css
const looked = { run: "", pair: null, most: PICTURES_AT_ONCE };

function picture(set, place, words) {
  if (place < 0) return element("span", { class: "picture none" }, "no picture kept");
  const sheet = `sheet${data.mistakes.sets.indexOf(set)}`;
  const created = element("span", { class: `picture ${sheet}`, role: "img", "aria-label": words });
  const [left, top] = [(place % set.across) * SIZE, Math.floor(place / set.across) * SIZE];
  created.style.backgroundPosition = `${-left}px ${-top}px`;
  return created;
}

// One CSS rule per sprite sheet; a style on each picture would repeat the sheet's megabyte.
function showSheets() {
  const rule = ({ sheet, across, down }, index) =>
    `.sheet${index} { background-image: url(${sheet}); background-size: ${across * SIZE}px ${down * SIZE}px; }`;
  document.head.append(element("style", {}, data.mistakes.sets.map(rule).join("\n")));
}

// The summed confusion matrix of some runs, as rows of counts.
function summed(numbers) {
  const matrices = numbers.map((number) => data.mistakes.confusion[number]).filter(Boolean);
  const classes = Math.max(0, ...matrices.map((matrix) => Math.sqrt(matrix.length)));
  const total = Array.from({ length: classes }, () => Array(classes).fill(0));
  for (const matrix of matrices) {
    const own = Math.sqrt(matrix.length);
    matrix.forEach((count, index) => {
      total[Math.floor(index / own)][index % own] += count;
    });
  }
  return { total, runs: matrices.length };
}

const short = (count) => (count < 10000 ? String(count) : `${Math.round(count / 1000)}k`);

function pairButton(count, label, predicted, highest, pick) {
  if (!count) return element("span", { class: "quiet" }, "·");
  const pressed = looked.pair?.[0] === label && looked.pair?.[1] === predicted;
  const words = `${label} predicted as ${predicted}: ${count}`;
  const created = element(
    "button",
    { type: "button", title: words, "aria-label": words, "aria-pressed": String(pressed) },
    short(count),
  );
  created.style.setProperty("--share", `${Math.round(75 * Math.sqrt(count / highest))}%`);
  created.addEventListener("click", () => pick(pressed ? null : [label, predicted]));
  return created;
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
              element("span", { title: `${label} classified correctly: ${count}` }, short(count)),
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
    element("caption", { class: "axis" }, "rows: label; columns: predicted class"),
    element("thead", {}, heads),
    element("tbody", {}, rows),
  );
}

function misreadItem(set, [place, index, label, predicted, confidence, labelProbability]) {
  const words = `${label} predicted as ${predicted}`;
  return element(
    "li",
    {},
    picture(set, place, words),
    element("b", {}, `${label} → ${predicted}`),
    ` ${probabilityText(confidence)}`,
    element("br"),
    element("span", { class: "quiet" }, `as ${label}: ${probabilityText(labelProbability)}`),
    element("br"),
    element("span", { class: "quiet" }, `image ${index}`),
  );
}

function misreadOf(number, refresh) {
  const { misread, sets, set } = data.mistakes;
  const matches = ([, , label, predicted]) => !looked.pair || (label === looked.pair[0] && predicted === looked.pair[1]);
  const found = misread[number].filter(matches);
  const matrix = data.mistakes.confusion[number];
  const classes = Math.sqrt(matrix.length);
  const wrong = matrix.reduce(
    (sum, count, index) => sum + (Math.floor(index / classes) === index % classes ? 0 : count),
    0,
  );
  const all = looked.pair ? (matrix[looked.pair[0] * classes + looked.pair[1]] ?? 0) : wrong;
  const visible = found.slice(0, looked.most);
  const what = looked.pair ? `predicted as ${looked.pair[1]} instead of ${looked.pair[0]}` : "misread";
  const more =
    found.length > visible.length &&
    element(
      "button",
      {
        type: "button",
        onclick: () => {
          looked.most += PICTURES_AT_ONCE;
          refresh();
        },
      },
      "More",
    );
  return [
    element("h3", {}, `${plural(all, "image")} ${what}, most confident first`),
    found.length < all && element("p", { class: "quiet" }, `This page contains ${found.length} of them.`),
    element(
      "ul",
      { class: "pictures" },
      visible.map((entry) => misreadItem(sets[set[number]], entry)),
    ),
    element("div", { class: "controls" }, more),
  ].filter(Boolean);
}

function oftenItem(set, runs, { index, place, label, count, taken }) {
  const [first, ...others] = taken;
  const part = ([predicted, times, confidence]) => `${label} → ${predicted}: ${times}×, ${probabilityText(confidence)}`;
  return element(
    "li",
    { title: taken.map(part).join("\n") },
    picture(set, place, `${label}, misread by ${count} runs`),
    element("b", {}, `${count} of ${runs}`),
    element("br"),
    `${label} → ${first[0]} ${probabilityText(first[2])}`,
    element("br"),
    element(
      "span",
      { class: "quiet" },
      `image ${index}${others.length ? `, also → ${others.map(([predicted]) => predicted).join(", ")}` : ""}`,
    ),
  );
}

// The images of a test set that shown runs misread, most often misread first.
function oftenOf(set, visible) {
  return set.often
    .map((entry) => {
      const taken = entry.taken
        .map(([predicted, runs, confidence]) => [predicted, runs.filter((run) => visible.has(run)).length, confidence])
        .filter(([, times]) => times)
        .sort(([, a], [, b]) => b - a);
      return { ...entry, taken, count: taken.reduce((sum, [, times]) => sum + times, 0) };
    })
    .filter(({ count }) => count)
    .sort((a, b) => b.count - a.count);
}

function oftenMisread() {
  const matches = ({ label, taken }) =>
    !looked.pair || (label === looked.pair[0] && taken.some(([predicted]) => predicted === looked.pair[1]));
  const visible = new Set(shown);
  return data.mistakes.sets.flatMap((set, number) => {
    const runs = shown.filter((run) => data.mistakes.set[run] === number).length;
    if (!runs) return [];
    const some = runs < set.jobs ? `, of the ${set.often.length} images that all runs misread most often` : "";
    return [
      element(
        "h3",
        {},
        `Most often misread${data.mistakes.sets.length > 1 ? `, on test set ${set.sha256} (${plural(runs, "run")})` : ""}`,
      ),
      element(
        "p",
        { class: "quiet" },
        `${plural(runs, "shown run")} with predictions${some}: the number of runs that misread the image, their most frequent prediction and its mean confidence.`,
      ),
      element(
        "ul",
        { class: "pictures" },
        oftenOf(set, visible)
          .filter(matches)
          .map((entry) => oftenItem(set, runs, entry)),
      ),
    ];
  });
}

function fillMistakes(place) {
  const refresh = () => fillMistakes(place);
  const pick = (pair) => {
    looked.pair = pair;
    looked.most = PICTURES_AT_ONCE;
    refresh();
  };
  const numbers = looked.run === "" ? shown : [Number(looked.run)];
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
        `${plural(wrong, "misread image")} in ${plural(runs, "run")} with predictions. Click a count to see only those images.`,
      ),
      element("div", { class: "scroll" }, confusionTable(total, pick)),
      element(
        "div",
        { class: "controls" },
        looked.pair && element("button", { type: "button", onclick: () => pick(null) }, "All pairs"),
      ),
    ),
    element("div", {}, looked.run === "" ? oftenMisread() : misreadOf(Number(looked.run), refresh)),
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
  const runs = jobs.flatMap((_, number) => (data.mistakes.confusion[number] ? [[number, runLabel(number)]] : []));
  if (runs.length === 1) looked.run = runs[0][0];
  const content = element("div", { class: "two" });
  const list = selector(
    "Mistakes of",
    [["", "all runs shown in the table"], ...runs],
    (run) => {
      looked.run = run;
      looked.pair = null;
      looked.most = PICTURES_AT_ONCE;
      fillMistakes(content);
    },
    looked.run,
  );
  list.querySelector("select").id = "mistakes-of";
  place.append(element("div", { class: "controls" }, list), content);
  whenSeen(content, () => fillMistakes(content));
  listen(["shown"], () => {
    if (looked.run === "") content.redraw();
  });
}
