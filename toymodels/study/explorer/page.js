// The controls of the page, what they show in words, and its start.

const find = (id) => document.getElementById(id);
const state = { quantity: null, x: null, lines: null, rows: null, at: {}, seeds: "mean", vertical: "slice", focus: null, preview: null };
const plots = {}, views = {}, sources = {}, mapSources = {};

const isLong = (dim) => sizeOf(dim) > 1;
const shownFocus = () => (state.preview && state.rows === state.lines ? state.preview[state.rows] : state.focus);

function make(kind, properties = {}, ...children) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children);
  return element;
}

// The label that a page opens with: the end of what runs in time, the middle of other numbers.
function chooseLabel(dim) {
  if (!DATA.dims[dim].numeric || dim === "seed") return 0;
  return findOrder(dim).at(/epoch|step|generation|time/.test(dim) ? -1 : Math.floor(sizeOf(dim) / 2));
}

// The place whose slice is shown: as chosen, or where the pointer is on the map.
function shownPlace() {
  const seed = typeof state.seeds === "number" && state.quantity.seeds ? state.seeds : null;
  return { ...state.at, seed, ...state.preview };
}

function freeDims() {
  return state.quantity.dims.filter(isLong);
}

// Dimensions that can lie along the horizontal axis.
function listAxes() {
  const { quantity } = state;
  return [...freeDims(), ...(quantity.seeds && isLong("seed") ? ["seed"] : [])];
}

function chooseAxes() {
  const axes = listAxes();
  const worth = (dim) => (dim === "seed" ? 0 : dim === "rho" ? 1000 : DATA.dims[dim].numeric ? 100 + sizeOf(dim) : 1 + sizeOf(dim) / 100);
  if (!axes.includes(state.x)) state.x = [...axes].sort((a, b) => worth(b) - worth(a))[0] ?? freeDims()[0] ?? state.quantity.dims[0] ?? "seed";
  const others = axes.filter((dim) => dim !== state.x && dim !== "seed");
  if (state.lines === state.x || (state.lines && !others.includes(state.lines)) || state.lines === null) {
    state.lines = others.find((dim) => !DATA.dims[dim].numeric && sizeOf(dim) <= 8) ?? others.find((dim) => sizeOf(dim) <= 12) ?? "";
  }
  if (!others.includes(state.rows)) state.rows = state.lines || others[0] || null;
  if (!state.quantity.seeds) state.seeds = "mean";
  if (state.focus !== null && !(state.lines && state.focus < sizeOf(state.lines))) state.focus = null;
}

function addSelect(parent, label, options, chosen, choose) {
  const select = make("select");
  for (const [value, text] of options) select.append(make("option", { value, textContent: text, selected: value === chosen }));
  select.addEventListener("change", () => choose(select.value));
  parent.append(make("label", { className: "control" }, make("span", { textContent: label }), select));
}

function addSlider(parent, dim) {
  const order = findOrder(dim);
  const output = make("output", { textContent: DATA.dims[dim].labels[state.at[dim]] });
  const input = make("input", { type: "range", min: 0, max: order.length - 1, value: order.indexOf(state.at[dim]) });
  input.setAttribute("aria-valuetext", output.textContent);
  input.addEventListener("input", () => {
    state.at[dim] = order[input.value];
    output.textContent = DATA.dims[dim].labels[state.at[dim]];
    input.setAttribute("aria-valuetext", output.textContent);
    draw();
  });
  parent.append(make("label", { className: "control" }, make("span", {}, make("span", { textContent: DATA.dims[dim].label }), output), input));
}

const listLabels = (dims) => dims.map((dim) => [dim, DATA.dims[dim].label]);

function buildControls() {
  const { quantity, x, lines } = state;
  const form = find("controls");
  form.replaceChildren();
  const change = (name) => (value) => { state[name] = value; state.preview = null; rebuild(); };
  addSelect(form, "Quantity", DATA.quantities.map(({ name, label }) => [name, label]), quantity.name, chooseQuantity);
  addSelect(form, "Horizontal axis", listLabels(listAxes()), x, change("x"));
  const others = listAxes().filter((dim) => dim !== x && dim !== "seed");
  if (others.length) {
    const choose = (value) => { state.focus = null; if (state.rows === lines || !value) state.rows = value || state.rows; change("lines")(value); };
    addSelect(form, "A line for each", [...listLabels(others), ["", "(one line)"]], lines, choose);
  }
  if (quantity.seeds && isLong("seed") && x !== "seed") {
    const own = DATA.dims.seed.labels.map((label, i) => [String(i), `seed ${label}`]);
    const options = [["mean", "mean with 95 % interval"], ["every", "mean, interval and every seed"], ...own];
    addSelect(form, "Seeds", options, String(state.seeds), (value) => change("seeds")(own.some(([i]) => i === value) ? Number(value) : value));
  }
  addSelect(form, "Vertical axis", [["slice", "fits these curves"], ["all", "fits all curves"], ["logarithmic", "logarithmic"]], state.vertical, change("vertical"));
  for (const dim of freeDims().filter((d) => d !== x && d !== lines)) {
    if (DATA.dims[dim].numeric) addSlider(form, dim);
    else addSelect(form, DATA.dims[dim].label, DATA.dims[dim].labels.map((label, i) => [String(i), label]), String(state.at[dim]), (i) => { state.at[dim] = Number(i); draw(); });
  }
  find("map").hidden = !hasMap();
  find("map-controls").replaceChildren();
  if (hasMap() && others.length > 1) addSelect(find("map-controls"), "Rows of the map", listLabels(others), state.rows, change("rows"));
}

const hasMap = () => Boolean(state.rows) && state.x !== "seed";

function chooseQuantity(name) {
  state.quantity = DATA.quantities.find((quantity) => quantity.name === name);
  state.preview = null;
  state.lines ||= null;
  rebuild();
}

function rebuild() {
  chooseAxes();
  buildControls();
  draw();
}

function draw() {
  if (state.x === "seed") state.seeds = "mean";
  const place = shownPlace();
  if (state.x === "seed") place.seed = state.at.seed;
  const lines = sliceLines(place);
  drawCurves(lines, place);
  if (hasMap() && !state.preview) drawMap(place);
  if (hasMap() && state.preview) markCell(place);
  writeWords(lines, place);
}

// What is fixed where two dimensions lie on axes: the horizontal one and another.
function describeSlice(place, other) {
  const fixed = state.quantity.dims.filter((dim) => dim !== state.x && dim !== other);
  if (place.seed !== null && state.x !== "seed") fixed.push("seed");
  return fixed.map((dim, i) => (i ? nameLabel(dim, place[dim]) : begin(nameLabel(dim, place[dim])))).join(", ");
}

function writeWords(lines, place) {
  const { quantity, x } = state;
  find("slice").textContent = describeSlice(place, state.lines);
  find("map-slice").textContent = hasMap() && state.rows !== state.lines ? describeSlice(place, state.rows) : "";
  const name = begin(quantity.label);
  find("curves-title").textContent = state.lines ? `${name}, by ${DATA.dims[state.lines].label}` : name;
  find("map-title").textContent = hasMap() ? `Map of ${quantity.label}` : "";
  find("description").textContent = quantity.description;
  find("legend").replaceChildren(...listButtons());
  const found = read(quantity, place);
  const where = [x, ...(state.lines ? [state.lines] : [])].map((dim) => nameLabel(dim, place[dim])).join(", ");
  const about = x === "seed" ? "" : ` (${describeValue(quantity, found, place)})`;
  find("point").replaceChildren(make("span", { textContent: `${name} ` }), make("b", { textContent: format(found.mean) }), `${about} at ${where}`);
  find("point").style.borderLeftColor = pointColour(state.lines ? place[state.lines] : 0, place[x]);
  const seeds = readSeeds(quantity, place);
  if (seeds.length > 1 && seeds.length <= 20) find("point").append(make("small", { textContent: `Seeds: ${seeds.map(format).join(", ")}` }));
  find("warnings").replaceChildren(...listWarnings(lines).map((textContent) => make("li", { textContent })));
}

function listButtons() {
  if (!state.lines || sizeOf(state.lines) > MOST_LABELLED) return [];
  return DATA.dims[state.lines].labels.map((label, i) => {
    const { colour, dash } = look(i);
    const swatch = make("i", { className: dash.length ? "dashed" : "" });
    swatch.style.borderTopColor = colour;
    const button = make("button", { type: "button" }, swatch, label);
    button.setAttribute("aria-pressed", String(shownFocus() === i));
    button.addEventListener("click", () => {
      state.focus = state.focus === i ? null : i;
      state.at[state.lines] = i;
      draw();
    });
    return button;
  });
}

// Plain sentences on what the curves can't show.
function listWarnings(lines) {
  const { quantity } = state;
  const points = lines.flatMap((line) => line.points);
  const known = points.filter(({ n }) => n !== null);
  const said = [];
  const few = known.filter(({ n }) => n < 10).map(({ n }) => n);
  if (few.length) {
    const [least, most] = [Math.min(...few), Math.max(...few)];
    const n = least === most ? `n = ${least}` : `n = ${least} to ${most}`;
    said.push(`Few ${quantity.counted}: ${n}${few.length < known.length ? ` at ${few.length} of ${known.length} points` : ""}. Such a mean may lie far from that of many ${quantity.counted}.`);
  }
  if (quantity.bounds) {
    const [least, most] = quantity.bounds;
    const outside = known.filter(({ low, high }) => low !== null && (low < least - 1e-9 || high > most + 1e-9)).length;
    if (outside) said.push(`The interval leaves [${formatTick(least)}, ${formatTick(most)}] at ${outside} of ${known.length} points, although this quantity cannot: Student's t knows no bounds. n is too small there.`);
  }
  const lost = points.filter(({ mean }) => mean === null).length;
  if (lost) said.push(`${lost} of ${points.length} points have no value.`);
  if (state.vertical === "logarithmic" && points.some(({ mean }) => mean !== null && mean <= 0)) said.push("Values that are not above zero have no place on a logarithmic axis.");
  return said;
}

function addDownloads(part) {
  const places = () => {
    const place = shownPlace();
    if (part === "curves") return sliceLines(place).flatMap(({ points }) => points.map((point) => point.place));
    return findOrder(state.rows).flatMap((r) => findOrder(state.x).map((k) => ({ ...place, [state.rows]: r, [state.x]: k })));
  };
  const kinds = {
    CSV: () => offer(fileName(part, "csv"), writeTable(places()), "text/csv"),
    PNG: () => offerPicture(part, "png"),
    SVG: () => offerPicture(part, "svg"),
  };
  find(`${part}-downloads`).append("Download", ...Object.entries(kinds).map(([textContent, act]) => {
    const button = make("button", { type: "button", textContent });
    button.addEventListener("click", act);
    return button;
  }));
}

// Nested values as rows of a table: [name, text] each.
function listRows(value, before = "") {
  return Object.entries(value).flatMap(([name, inner]) => {
    const whole = (before + name).replaceAll("_", " ");
    if (inner !== null && typeof inner === "object" && !Array.isArray(inner)) return listRows(inner, `${whole}, `);
    return [[whole, Array.isArray(inner) ? inner.join(", ") : inner === null ? "not set" : String(inner)]];
  });
}

function writeAbout() {
  const { config, dataset, provenance, findings } = DATA.about;
  const table = (value) => make("table", {}, make("tbody", {}, ...listRows(value).map(([name, text]) => make("tr", {}, make("th", { textContent: name, scope: "row" }), make("td", { textContent: text })))));
  const list = (lines) => make("ul", {}, ...lines.map((textContent) => make("li", { textContent })));
  const parts = [
    ["What was found", findings?.length ? list(findings) : null],
    ["Remarks on this result", DATA.notes.length ? list(DATA.notes) : null],
    ["Config of this result", config ? table(config) : null],
    ["Provenance: data, versions, commit and command", provenance ? table({ data: dataset, ...provenance }) : null],
  ];
  find("about").append(...parts.filter(([, content]) => content).map(([textContent, content]) => make("details", {}, make("summary", { textContent }), make("div", {}, content))));
}

// The nearest drawn point to a click on the curves becomes the chosen one.
function chooseNearest({ sx, sy }) {
  const { x_scale, y_scale } = views.curves.frame;
  const { x, y } = sources.points.data;
  const lines = sliceLines(shownPlace()).flatMap((line) => line.points.map((point) => [line.i, point.k]));
  const far = range(x.length).map((j) => Math.hypot(x_scale.compute(x[j]) - sx, y_scale.compute(y[j]) - sy));
  const nearest = range(x.length).reduce((a, b) => (far[b] < (Number.isNaN(far[a]) ? Infinity : far[a]) ? b : a), 0);
  if (!(far[nearest] < 40)) return;
  const [line, k] = lines[nearest];
  state.at[state.x] = k;
  if (state.lines) state.at[state.lines] = line;
  draw();
}

function cellAt({ x, y }) {
  const { across, upwards } = mapAxes();
  const [i, j] = [Math.round(x), Math.round(y)];
  return i in across.order && j in upwards.order ? { [across.dim]: across.order[i], [upwards.dim]: upwards.order[j] } : null;
}

function preview(cell) {
  if (JSON.stringify(cell) === JSON.stringify(state.preview)) return;
  state.preview = cell;
  draw();
}

function listen() {
  plots.curves.on_event("tap", chooseNearest);
  plots.curves.on_event("doubletap", draw); // shows all again after a zoom
  if (matchMedia("(pointer: fine)").matches) { // a finger that scrolls the page must not zoom
    plots.curves.toolbar.active_drag = plots.curves.toolbar.tools.find(({ type }) => type === "BoxZoomTool");
    find("zoom-help").hidden = false;
  }
  plots.map.on_event("tap", (event) => {
    const cell = cellAt(event);
    if (!cell) return;
    const again = state.rows === state.lines && state.focus === cell[state.rows] && state.at[state.x] === cell[state.x];
    Object.assign(state.at, cell);
    if (state.rows === state.lines) state.focus = again ? null : cell[state.rows];
    state.preview = null;
    rebuild();
  });
  plots.map.on_event("mousemove", (event) => preview(cellAt(event)));
  plots.map.on_event("mouseleave", () => preview(null));
  for (const axis of [plots.curves.x_range, plots.curves.y_range]) axis.change.connect(() => tickCurves());
  // The box beside the pointer needs room; the line above the charts says the same.
  const point = () => { for (const plot of [plots.curves, plots.map]) for (const tool of plot.toolbar.tools) if (tool.type === "HoverTool") tool.active = innerWidth > 600; };
  point();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) { width = innerWidth; point(); setTimeout(draw, 100); }
  });
  // In a page of the same origin, the frame is as high as its content.
  const fit = () => { if (frameElement) frameElement.style.height = `${document.documentElement.scrollHeight + 4}px`; };
  new ResizeObserver(fit).observe(document.body);
}

async function start() {
  find("title").textContent = DATA.title;
  find("caption").textContent = DATA.caption;
  for (const dim of Object.keys(DATA.dims)) state.at[dim] = chooseLabel(dim);
  for (const [name, item] of Object.entries(JSON.parse(find("plots").textContent))) {
    const manager = await Bokeh.embed.embed_item(item, `${name}-plot`);
    const model = Bokeh.documents.at(-1).get_model_by_name(name);
    plots[name] = model;
    views[name] = manager.find_one(model) ?? [...manager].find((view) => view.model === model);
    for (const source of model.renderers.map((renderer) => renderer.data_source)) (name === "map" ? mapSources : sources)[source.name] = source;
  }
  for (const name of ["colours", "bar"]) mapSources[name] = Bokeh.documents.at(-1).get_model_by_name(name);
  addDownloads("curves");
  addDownloads("map");
  writeAbout();
  chooseQuantity(DATA.first);
  listen();
  document.body.dataset.ready = "yes";
}

start();
