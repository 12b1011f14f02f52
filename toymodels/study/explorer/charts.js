// Fills the two plots from the state of the page.

const MOST_LABELLED = 24; // lines that have a button each
const MISSING = NaN;
const orMissing = (value) => (value === null ? MISSING : value);

// The place of a value on the vertical axis.
const up = (value) =>
  state.vertical === "logarithmic" ? (value > 0 ? Math.log10(value) : MISSING) : orMissing(value);

function setTicks(axis, ticks) {
  axis.ticker.ticks = ticks.map(([position]) => position);
  axis.major_label_overrides = new Map(ticks);
}

function setRange(axis, start, end) {
  axis.setv({ start, end, reset_start: start, reset_end: end });
}

// Names below an axis lie flat where there is room, else aslant or upright.
function turnLabels(axis, ticks, width) {
  const longest = Math.max(...ticks.map(([, label]) => label.length)) * 7 + 10;
  const each = width / Math.max(ticks.length, 1);
  axis.major_label_orientation = longest < each ? "horizontal" : each > 26 ? Math.PI / 5 : Math.PI / 2;
  return longest < each ? 0 : Math.min(longest * (each > 26 ? 0.6 : 1), 170);
}

// The lines of the slice that is shown: each with its index along the dimension of the lines.
function sliceLines(place) {
  const { quantity, x, lines } = state;
  const order = findOrder(x);
  return (lines ? range(sizeOf(lines)) : [0]).map((i) => {
    const own = lines ? { ...place, [lines]: i } : place;
    const points = order.map((k) => {
      const at = { ...own, [x]: k };
      return { k, place: at, ...read(quantity, at) };
    });
    return { i, place: own, points };
  });
}

function look(i) {
  const dim = state.lines && DATA.dims[state.lines];
  const colour = dim ? dim.colours[i] : "#0072B2";
  const repeated = dim && dim.colours.indexOf(colour) !== i;
  const faint = state.lines && shownFocus() !== null && shownFocus() !== i;
  return { colour, dash: repeated ? [7, 4] : [], alpha: faint ? 0.16 : 1 };
}

// A single line has the colours of the models where they lie along the axis.
function pointColour(i, k) {
  const { colours, models } = DATA.dims[state.x];
  return !state.lines && models ? colours[k] : look(i).colour;
}

// Rows of shapes by the name of their table.
class Shapes {
  constructor() {
    this.tables = Object.fromEntries(Object.keys(sources).map((name) => [name, {}]));
  }

  add(name, row) {
    for (const [column, value] of Object.entries(row)) (this.tables[name][column] ??= []).push(value);
  }

  show() {
    for (const [name, source] of Object.entries(sources)) {
      const columns = Object.keys(source.data);
      source.data = Object.fromEntries(columns.map((column) => [column, this.tables[name][column] ?? []]));
    }
  }
}

function drawCurves(lines, place) {
  const { quantity, x } = state;
  const { label, numeric, spacing } = DATA.dims[x];
  const at = findPositions(x, spacing);
  const joined = numeric && x !== "seed";
  const heights = findHeights(lines);
  const gap = Math.min(0.13, 0.8 / lines.length);
  const shapes = new Shapes();
  for (const line of lines) {
    // Names have no values between them: lines stand side by side there, and are not joined.
    const side = joined ? 0 : gap * (line.i - (lines.length - 1) / 2);
    const xs = line.points.map(({ k }) => at[k] + side);
    if (joined) addBand(shapes, line, xs, heights[0], lines.length > MOST_LABELLED);
    if (state.seeds === "every" && x !== "seed") addSeedMarks(shapes, line, xs, joined ? null : gap / 3);
    addPoints(shapes, line, xs, heights[0], joined, place);
  }
  shapes.show();
  const [left, right] = [Math.min(...at), Math.max(...at)];
  const pad = spacing === "even" ? 0.5 : (right - left) * 0.03 || 0.5;
  setRange(plots.curves.x_range, left - pad, right + pad);
  setRange(plots.curves.y_range, ...heights);
  plots.curves.below[0].axis_label = label + (spacing === "angle" ? " (spaced by angle)" : "");
  plots.curves.left[0].axis_label = quantity.label + (quantity.unit === "1" ? "" : ` (${quantity.unit})`);
  tickCurves();
}

// The lower end of an interval; the end of the axis where a logarithm has no place for it.
const downTo = (low, end) => (Number.isFinite(up(low)) ? up(low) : end);

// A line with the band of its intervals; of many lines only the one in front has a band.
function addBand(shapes, { i, points }, xs, end, many) {
  const { colour, dash, alpha } = look(i);
  shapes.add("lines", { xs, ys: points.map(({ mean }) => up(mean)), colour, dash, alpha });
  if (many && shownFocus() !== i) return;
  for (const [from, to] of listRuns(points)) {
    const [run, across] = [points.slice(from, to), xs.slice(from, to)];
    const highs = run.map(({ high }) => up(high));
    const lows = run.map(({ low }) => downTo(low, end));
    shapes.add("bands", {
      xs: [...across, ...across.toReversed()],
      ys: [...highs, ...lows.toReversed()],
      colour,
      alpha: alpha < 1 ? 0.03 : 0.16,
    });
  }
}

// Every seed as a thin line, or as a short dash of a width on each side.
function addSeedMarks(shapes, { i, points }, xs, width) {
  const { colour, alpha } = look(i);
  const values = points.map(({ place }) => readSeeds(state.quantity, place));
  for (const seed of range(values[0].length)) {
    const ys = values.map((row) => up(row[seed]));
    if (width === null) shapes.add("threads", { xs, ys, colour, alpha: alpha * 0.4 });
    else {
      ys.forEach((y, j) => {
        const ends = [xs[j] - width, xs[j] + width];
        shapes.add("threads", { xs: ends, ys: [y, y], colour, alpha: alpha * 0.5 });
      });
    }
  }
}

// Means as points, with what the pointer tells of them; their intervals where no band shows them.
function addPoints(shapes, { i, points }, xs, end, joined, place) {
  const { quantity, x, lines } = state;
  const { alpha } = look(i);
  points.forEach((point, j) => {
    const { k, mean, low, high } = point;
    const colour = pointColour(i, k);
    const at = { x: xs[j], y: up(mean), colour };
    if (!joined && low !== null) {
      shapes.add("bars", { x: xs[j], low: downTo(low, end), high: up(high), colour, alpha });
    }
    shapes.add("points", {
      ...at,
      alpha: joined && points.length > 60 ? 0 : alpha,
      line: lines ? nameLabel(lines, i) : quantity.label,
      place: nameLabel(x, k),
      value: `${quantity.label}: ${format(mean)}`,
      more: describeValue(quantity, point, point.place),
    });
    if (k === place[x] && (!lines || i === place[lines])) shapes.add("chosen", at);
  });
}

// Stretches of points that have an interval: [from, to) each.
function listRuns(points) {
  const runs = [];
  points.forEach(({ low }, j) => {
    if (low === null) return;
    if (runs.length && runs.at(-1)[1] === j) runs.at(-1)[1] = j + 1;
    else runs.push([j, j + 1]);
  });
  return runs;
}

// The lower and upper end of the vertical axis, with some room.
function findHeights(lines) {
  const { quantity, seeds, vertical } = state;
  let values = lines.flatMap(({ points }) => points.flatMap(({ mean, low, high }) => [mean, low, high]));
  if (seeds === "every")
    values.push(...lines.flatMap(({ points }) => points.flatMap((p) => readSeeds(quantity, p.place))));
  if (vertical === "all") values = [...quantity.mean, ...quantity.low, ...quantity.high, ...values];
  const finite = values
    .filter((v) => v !== null)
    .map(up)
    .filter(Number.isFinite);
  if (!finite.length) return [0, 1];
  const [low, high] = finite.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

// Ticks of what is visible, also after a zoom.
function tickCurves() {
  const { x_range, y_range, below, left } = plots.curves;
  const width = document.getElementById("curves-plot").clientWidth - 70;
  const ticks = listAxisTicks(state.x, x_range.start, x_range.end, width / 60);
  setTicks(below[0], ticks);
  plots.curves.height = 340 + 0.9 * turnLabels(below[0], ticks, width);
  const list =
    state.vertical === "logarithmic"
      ? listLogTicks
      : (a, b, n) => listTicks(a, b, n).map((v) => [v, formatTick(v)]);
  setTicks(left[0], list(y_range.start, y_range.end, 6));
}

// The axes of the map. Many names stand upwards, where they can be read.
function mapAxes() {
  const { x, rows } = state;
  const flipped = !DATA.dims[x].numeric && sizeOf(x) > 8 && sizeOf(rows) < sizeOf(x);
  const [across, upwards] = flipped ? [rows, x] : [x, rows];
  const order = findOrder(upwards); // numbers rise, names are read from above
  return {
    across: { dim: across, order: findOrder(across) },
    upwards: { dim: upwards, order: DATA.dims[upwards].numeric ? order : order.reverse() },
  };
}

function markCell(place) {
  const { across, upwards } = mapAxes();
  mapSources.cell.data = {
    x: [across.order.indexOf(place[across.dim])],
    y: [upwards.order.indexOf(place[upwards.dim])],
  };
}

function drawMap(place) {
  const { quantity, x, rows } = state;
  const { across, upwards } = mapAxes();
  const found = upwards.order.flatMap((r, y) =>
    across.order.map((k, i) => {
      const at = { ...place, [upwards.dim]: r, [across.dim]: k };
      return { i, y, at, ...read(quantity, at) };
    }),
  );
  const known = found.map(({ mean }) => mean).filter((v) => v !== null);
  const [low, high] = [
    known.reduce((a, b) => Math.min(a, b), Infinity),
    known.reduce((a, b) => Math.max(a, b), -Infinity),
  ];
  const width = document.getElementById("map-plot").clientWidth - 120;
  const size = high - low || Math.max(Math.abs(low), Math.abs(high)) || 1;
  const digits = Math.min(Math.max(1 - Math.floor(Math.log10(size * 1.005)), 0), 4);
  const roomy = width / across.order.length > 7 * (digits + 2 + (low < 0)) + 6 && upwards.order.length < 24;
  const cells = { x: [], y: [], value: [], place: [], row: [], said: [], more: [] };
  const inks = { light: { x: [], y: [], text: [] }, dark: { x: [], y: [], text: [] } };
  for (const { i, y, at, mean, ...others } of found) {
    cells.x.push(i);
    cells.y.push(y);
    cells.value.push(orMissing(mean));
    cells.place.push(nameLabel(x, at[x]));
    cells.row.push(nameLabel(rows, at[rows]));
    cells.said.push(`${quantity.label}: ${format(mean)}`);
    cells.more.push(describeValue(quantity, { mean, ...others }, at));
    if (!roomy || mean === null) continue;
    const ink = inks[(mean - low) / (high - low || 1) < 0.6 ? "light" : "dark"];
    ink.x.push(i);
    ink.y.push(y);
    ink.text.push(writeMinus(mean.toFixed(digits).replace(/^-(0\.?0*)$/, "$1")));
  }
  mapSources.cells.data = cells;
  for (const [name, ink] of Object.entries(inks)) mapSources[name].data = ink;
  if (known.length) {
    const ends = high > low ? { low, high } : { low: low - 0.1, high: high + 0.1 };
    mapSources.colours.setv(ends);
    setTicks(
      mapSources.bar,
      listTicks(ends.low, ends.high, size < 0.01 * Math.abs(high) ? 2 : 5).map((v) => [v, formatTick(v)]),
    );
  }
  // White lines between very narrow cells would hide the cells.
  const edges = Math.min(width / across.order.length, 400 / upwards.order.length) > 8 ? 1 : 0;
  plots.map.renderers[0].glyph.line_width = { value: edges };
  markCell(place);
  const { x_range, y_range, below, left } = plots.map;
  setRange(x_range, -0.5, across.order.length - 0.5);
  setRange(y_range, -0.5, upwards.order.length - 0.5);
  const ticks = thinLabels(across, width);
  setTicks(below[0], ticks);
  setTicks(left[0], thinLabels(upwards, 400, 20));
  plots.map.height = Math.min(240 + upwards.order.length * 14, 560) + turnLabels(below[0], ticks, width);
  below[0].axis_label = DATA.dims[across.dim].label;
  left[0].axis_label = DATA.dims[upwards.dim].label;
}

// Labels of an axis of the map at their places; of many numbers as many as have room.
function thinLabels({ dim, order }, length, each = 0) {
  const { labels, numeric } = DATA.dims[dim];
  const longest = Math.max(...labels.map((label) => label.length)) * 7 + 12;
  const skip = numeric ? Math.ceil((order.length * (each || longest)) / length) : 1;
  return order.map((k, i) => [i, labels[k]]).filter((_, i) => i % skip === 0);
}
