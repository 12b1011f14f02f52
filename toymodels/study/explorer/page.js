// Draws what is chosen, and starts.

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

function addDownloads(part) {
  const places = () => {
    const place = shownPlace();
    if (part === "curves")
      return sliceLines(place).flatMap(({ points }) => points.map((point) => point.place));
    return findOrder(state.rows).flatMap((r) =>
      findOrder(state.x).map((k) => ({ ...place, [state.rows]: r, [state.x]: k })),
    );
  };
  const kinds = {
    CSV: () => offer(fileName(part, "csv"), writeTable(places()), "text/csv"),
    PNG: () => offerPicture(part, "png"),
    SVG: () => offerPicture(part, "svg"),
  };
  find(`${part}-downloads`).append(
    "Download",
    ...Object.entries(kinds).map(([textContent, act]) => {
      const button = make("button", { type: "button", textContent });
      button.addEventListener("click", act);
      return button;
    }),
  );
}

// The nearest drawn point to a click on the curves becomes the chosen one.
function chooseNearest({ sx, sy }) {
  const { x_scale, y_scale } = views.curves.frame;
  const { x, y } = sources.points.data;
  const lines = sliceLines(shownPlace()).flatMap((line) => line.points.map((point) => [line.i, point.k]));
  const far = range(x.length).map((j) => Math.hypot(x_scale.compute(x[j]) - sx, y_scale.compute(y[j]) - sy));
  const nearest = far.indexOf(Math.min(...far.filter(Number.isFinite)));
  if (!(far[nearest] < 40)) return;
  const [line, k] = lines[nearest];
  state.at[state.x] = k;
  if (state.lines) state.at[state.lines] = line;
  draw();
}

function cellAt({ x, y }) {
  const { across, upwards } = mapAxes();
  const [i, j] = [Math.round(x), Math.round(y)];
  return i in across.order && j in upwards.order
    ? { [across.dim]: across.order[i], [upwards.dim]: upwards.order[j] }
    : null;
}

function preview(cell) {
  if (JSON.stringify(cell) === JSON.stringify(state.preview)) return;
  state.preview = cell;
  draw();
}

// The box beside the pointer needs room; the line above the charts says the same.
function allowBoxes() {
  for (const tool of [...plots.curves.toolbar.tools, ...plots.map.toolbar.tools]) {
    if (tool.type === "HoverTool") tool.active = innerWidth > 600;
  }
}

// Chooses a cell of the map; a second click brings all lines back.
function chooseCell(event) {
  const cell = cellAt(event);
  if (!cell) return;
  const linked = state.rows === state.lines;
  const again = linked && state.focus === cell[state.rows] && state.at[state.x] === cell[state.x];
  Object.assign(state.at, cell);
  if (linked) state.focus = again ? null : cell[state.rows];
  change({});
}

function listen() {
  plots.curves.on_event("tap", chooseNearest);
  plots.curves.on_event("doubletap", draw); // shows all again after a zoom
  if (matchMedia("(pointer: fine)").matches) {
    // a finger that scrolls the page must not zoom
    plots.curves.toolbar.active_drag = plots.curves.toolbar.tools.find(({ type }) => type === "BoxZoomTool");
    find("zoom-help").hidden = false;
  }
  plots.map.on_event("tap", chooseCell);
  plots.map.on_event("mousemove", (event) => preview(cellAt(event)));
  plots.map.on_event("mouseleave", () => preview(null));
  for (const axis of [plots.curves.x_range, plots.curves.y_range]) axis.change.connect(() => tickCurves());
  allowBoxes();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    allowBoxes();
    setTimeout(draw, 100);
  });
  // In a page of the same origin, the frame is as high as its content.
  document.body.classList.toggle("framed", window.parent !== window);
  const fit = () => {
    if (frameElement) frameElement.style.height = `${document.body.offsetHeight + 4}px`;
  };
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
    views[name] = manager.find_one(model);
    for (const source of model.renderers.map((renderer) => renderer.data_source))
      (name === "map" ? mapSources : sources)[source.name] = source;
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
