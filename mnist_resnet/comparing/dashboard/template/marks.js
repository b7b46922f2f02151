// Plots of thousands of marks: a picture of them, since each mark of Plotly's is an element, and so many take seconds.
const MOST_MARKS = 500;
const ROUND_PLOTS = { width: 80, height: 100 }; // of axes, titles and legend, in CSS pixels

// Traces and layout in which pictures stand for the marks, if there are many. Names are still shown under the pointer.
function withPictures(traces, plotLayout, width) {
  const axesOf = ({ xaxis = "x", yaxis = "y" }) => [xaxis, yaxis].map((name) => plotLayout[name.replace(/^[xy]/, "$&axis")]);
  const marks = traces.filter((trace) => trace.mode === "markers" && axesOf(trace).every((axis) => axis.range));
  if (marks.reduce((sum, trace) => sum + trace.x.length, 0) <= MOST_MARKS) return { traces, layout: plotLayout };
  const size = [width - ROUND_PLOTS.width, plotLayout.height - ROUND_PLOTS.height];
  const places = [...new Set(marks.map(({ xaxis = "x", yaxis = "y" }) => `${xaxis} ${yaxis}`))];
  const images = places.map((place) => {
    const on = marks.filter(({ xaxis = "x", yaxis = "y" }) => `${xaxis} ${yaxis}` === place);
    const [xref, yref] = place.split(" ");
    return { ...marksPicture(on, axesOf(on[0]), size), xref, yref };
  });
  return {
    traces: traces.flatMap((trace) => (marks.includes(trace) ? [unmarked(trace), keyOf(trace)] : [trace])),
    layout: { ...plotLayout, images },
  };
}

const unmarked = (trace) => ({ ...trace, mode: "none", hoveron: "points", marker: {}, showlegend: false });

// A trace without points for the legend and the scale of shades.
function keyOf(trace) {
  const { color, ...marker } = trace.marker;
  const ends = Array.isArray(color) ? extent(color) : color;
  return { ...trace, x: [null, null], y: [null, null], marker: { ...marker, symbol: "circle", color: ends }, hoverinfo: "skip" };
}

const extent = (values) => [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];

function marksPicture(traces, axes, size) {
  const [width, height] = axes.map(({ domain: [from, to] = [0, 1] }, index) =>
    Math.ceil((to - from) * size[index] * devicePixelRatio),
  );
  const canvas = element("canvas", { width, height });
  const pen = canvas.getContext("2d");
  const [across, up] = axes.map(({ type, range: [from, to] }) => (value) => ((type === "log" ? Math.log10(value) : value) - from) / (to - from));
  for (const trace of traces) drawMarks(pen, trace, (x) => across(x) * width, (y) => (1 - up(y)) * height);
  const [[left, right], [bottom, top]] = axes.map(({ range }) => range);
  return { source: canvas.toDataURL(), x: left, y: top, sizex: right - left, sizey: top - bottom, sizing: "stretch", layer: "above" };
}

function drawMarks(pen, { x: xs, y: ys, marker }, across, down) {
  const { color, opacity = 1, line, symbol, size } = marker;
  const [low, high] = Array.isArray(color) ? extent(color) : [0, 0];
  const shades = SHADES();
  const shadeOf = (value) => shades[Math.round(((shades.length - 1) * (value - low)) / (high - low || 1))];
  pen.globalAlpha = opacity;
  pen.lineWidth = (line?.width ?? 1.5) * devicePixelRatio;
  xs.forEach((x, index) => {
    const hue = Array.isArray(color) ? shadeOf(color[index]) : color;
    const isHollow = symbol?.[index].endsWith?.("-open");
    pen.fillStyle = hue;
    pen.strokeStyle = line?.color ?? hue;
    pen.beginPath();
    pen.arc(across(x), down(ys[index]), (size / 2) * devicePixelRatio, 0, 2 * Math.PI);
    if (!isHollow) pen.fill();
    if (isHollow || line) pen.stroke();
  });
}
