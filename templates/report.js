// The page's own script. It decompresses what is in the page, draws the figures and makes the leaderboard sortable.
// It fetches nothing but, where it is live, its own news. It handles no name or value of a user as markup.

const decompressed = async (id, from = document) => {
  const text = atob(from.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};

const scriptUrl = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));

const loadPlotly = async () => {
  const script = document.createElement("script");
  script.src = scriptUrl(await decompressed("plotly"));
  const loaded = new Promise((done, failed) => { script.onload = done; script.onerror = failed; });
  document.head.append(script);
  await loaded;
  return window.Plotly;
};

const hasWebGL = () => {
  try {
    return Boolean(document.createElement("canvas").getContext("webgl"));
  } catch {
    return false;
  }
};

// --- figures ----------------------------------------------------------------------------------------------------

const AXIS = /^[xy]axis\d*$/;

// On paper all is light, and as wide as A4 within its margins. At "beforeprint" the style is still that of the screen.
const PAPER = { ink: "#1c1e21", line: "#d5d9de", width: 650 };
let onPaper = false;

const withTheme = (layout) => {
  const style = getComputedStyle(document.documentElement);
  const ink = onPaper ? PAPER.ink : style.getPropertyValue("--ink").trim();
  const line = onPaper ? PAPER.line : style.getPropertyValue("--line").trim();
  const themed = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: !onPaper };
  if (onPaper) themed.width = PAPER.width;
  themed.font = { color: ink, family: "system-ui, sans-serif", size: 13 };
  for (const name of Object.keys(layout).filter((key) => AXIS.test(key))) {
    themed[name] = { ...layout[name], gridcolor: line, zerolinecolor: line, linecolor: line };
  }
  return themed;
};

const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d"] };
const drawnFigures = new Map();

const draw = (Plotly, id, figure) => {
  const element = document.getElementById(`plot-${id}`);
  if (!element) return;
  drawnFigures.set(id, figure);
  const narrow = element.clientWidth < 600;
  const layout = withTheme(narrow && !onPaper && figure.narrow ? figure.narrow : figure.layout);
  if (onPaper && figure.narrow) { // small figures side by side
    for (const name of Object.keys(layout).filter((key) => AXIS.test(key))) layout[name].tickfont = { size: 7.5 };
  }
  if (narrow) {
    layout.font.size = 10;
    layout.annotations = (layout.annotations || []).map((annotation) => ({ ...annotation, font: { size: 9 } }));
  }
  Plotly.react(element, figure.data, layout, CONFIG);
};

const withoutWebGL = (id, figure) => {
  if (id === "parallel") {
    document.getElementById("plot-parallel").textContent = "This figure needs WebGL, which this browser does not have.";
    return null;
  }
  return { ...figure, data: figure.data.map((trace) => (trace.type === "scattergl" ? { ...trace, type: "scatter" } : trace)) };
};

// --- learning curves --------------------------------------------------------------------------------------------

const DASHES = ["solid", "dash", "dot", "dashdot"];
const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999"];

const PER_HOUR = 3600;

// What an axis may show of a point: its title, and how a run's seconds become its unit. Epochs need no seconds.
const axisBy = (by, runs) => {
  if (by === "epoch") return { title: "epoch" };
  const scaled = (title, perSecond) => ({ title, of: (run, seconds) => seconds * perSecond(run) });
  if (by === "core-hours") return scaled("core-hours", (run) => (run.cores || 1) / PER_HOUR);
  const longest = Math.max(0, ...runs.flatMap((run) => run.times_s || run.elapsed_s || 0));
  const [unit, unitSeconds] = longest > 2 * PER_HOUR ? ["hours", PER_HOUR] : longest > 120 ? ["minutes", 60] : ["seconds", 1];
  return scaled(`time, ${unit}`, () => 1 / unitSeconds);
};

// Where each point of a run lies on the axis; null where nothing is known of its time.
const placesOf = (run, axis) => {
  const epochs = run.x || run.y.map((_, index) => index + 1);
  if (!axis.of) return epochs;
  const last = epochs[epochs.length - 1]; // the last epoch is always there
  const seconds = run.times_s || (run.elapsed_s !== undefined ? epochs.map((epoch) => (run.elapsed_s * epoch) / last) : null);
  return seconds && seconds.map((each) => axis.of(run, each));
};

// The exponential mean: each value counts `weight` times as much as the next. The first are not drawn towards 0.
const smoothed = (values, weight) => {
  let sum = 0, total = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + value;
    total = weight * total + 1;
    return sum / total;
  });
};

const curvesCaption = (runs, by, weight) => {
  const sentences = [];
  const own = runs.filter((run) => run.times_s).length, spread = runs.filter((run) => run.elapsed_s !== undefined).length;
  if (by !== "epoch") {
    if (own) sentences.push(`The time of an epoch is the sum of the seconds in the history${spread ? ", where it has them" : ""}.`);
    if (spread) sentences.push(`${own ? "For the others" : "The time of an epoch:"} the trial's elapsed time was spread evenly over its history.`);
    if (own + spread < runs.length) sentences.push("Runs whose time is not known are left out.");
  }
  if (weight) sentences.push(`Pale: as it was. Over it, an exponential mean: each value counts ${weight.toFixed(2)} times as much as the next.`);
  return sentences.join(" ");
};

const curvesFigure = (data, pickedRows, by, weight) => {
  const names = [...new Set(pickedRows.flatMap((row) => Object.keys(data.curves[row] || {})))];
  const all = pickedRows.flatMap((row) => Object.values(data.curves[row] || {}).flat());
  const shown = axisBy(by, all);
  const traces = [];
  const inLegend = new Set();
  pickedRows.forEach((row, index) => {
    for (const [name, runs] of Object.entries(data.curves[row] || {})) {
      const axis = names.indexOf(name) + 1;
      runs.forEach((run, place) => {
        const x = placesOf(run, shown);
        if (!x) return;
        const trace = {
          type: "scatter", mode: "lines", x, yaxis: axis > 1 ? `y${axis}` : "y", name: `trial ${data.trials[row]}`, legendgroup: String(row),
          line: { color: COLOURS[index % COLOURS.length], dash: DASHES[Math.floor(index / COLOURS.length) % 4], width: place ? 1 : 2 },
        };
        if (weight) traces.push({ ...trace, y: run.y, opacity: 0.3, showlegend: false, hoverinfo: "skip" });
        traces.push({ ...trace, y: weight ? smoothed(run.y, weight) : run.y, showlegend: !inLegend.has(row) });
        inLegend.add(row);
      });
    }
  });
  const lowestAxis = names.length > 1 ? `y${names.length}` : "y";
  const layout = {
    height: 130 + 190 * Math.max(1, names.length), margin: { t: 30, r: 20, b: 50 }, showlegend: true,
    xaxis: { title: { text: shown.title }, anchor: lowestAxis },
  };
  names.forEach((name, index) => {
    const share = 1 / names.length;
    layout[index ? `yaxis${index + 1}` : "yaxis"] = {
      title: { text: escaped(name) }, domain: [1 - (index + 1) * share + (index + 1 < names.length ? 0.06 : 0), 1 - index * share],
    };
  });
  return { data: traces, layout, caption: curvesCaption(all, by, weight) };
};

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// --- the leaderboard --------------------------------------------------------------------------------------------

const rowsOf = (table) => [...table.tBodies].flatMap((body) => [...body.rows]).map((row, index) => [...row.cells].map((cell) => cell.textContent.trim()).concat(index));
const headsOf = (table) => [...table.tHead.rows[0].cells].map((cell) => cell.textContent);

const makeTable = async (data, onPick) => {
  const source = scriptUrl(await decompressed("datatables"));
  const { default: DataTable } = await import(source);
  const table = document.getElementById("leaderboard-table");
  const rows = rowsOf(table);
  const heads = headsOf(table);
  const rowIndex = heads.length; // behind the cells, each row has its index in the data
  for (const body of [...table.tBodies].slice(1)) body.remove();
  table.tBodies[0].replaceChildren();
  const text = DataTable.render.text().display;
  const trialColumn = heads.indexOf("trial");
  const columns = heads.map((head, column) => ({
    title: text(head),
    render: (value, kind, row) => {
      const keys = data.sort_keys[column];
      if (kind === "sort" || kind === "type") return keys ? keys[row[rowIndex]] ?? data.missing_keys[column] : value;
      if (kind !== "display") return value;
      return column === trialColumn && data.curves.length
        ? `<button type="button" class="pick" data-row="${row[rowIndex]}" aria-pressed="false">${text(value)}</button>`
        : text(value);
    },
  }));
  const dataTable = new DataTable(table, {
    data: rows, columns, deferRender: true, pageLength: 25, lengthMenu: [10, 25, 100, 1000], order: [],
    autoWidth: false, columnControl: [["search"]], ordering: { indicators: false, handler: true },
    layout: { topStart: { buttons: [{ extend: "colvis", text: "Columns" }] }, topEnd: "search", bottomStart: "info", bottomEnd: "paging" },
    language: { search: "Filter: ", info: "_START_ to _END_ of _TOTAL_" },
  });
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.pick");
    if (button) onPick(Number(button.dataset.row));
  });
  return dataTable;
};

// --- the page ---------------------------------------------------------------------------------------------------

const applyColourScheme = () => document.documentElement.classList.toggle("dark", !onPaper && matchMedia("(prefers-color-scheme: dark)").matches);
const heads = headsOf(document.getElementById("leaderboard-table"));
const data = JSON.parse(await decompressed("data"));
document.documentElement.classList.add("scripted");
applyColourScheme(); // DataTables' own colours go by this class
const Plotly = await loadPlotly();

const pickedRows = data.curves.length ? [0] : [];
const showPicked = () => {
  if (!data.curves.length) return;
  document.getElementById("curves").hidden = false;
  const weight = Number(document.getElementById("smoothing").value);
  const figure = curvesFigure(data, pickedRows, document.getElementById("curves-by").value, weight);
  draw(Plotly, "curves", figure);
  document.getElementById("curves-caption").textContent = figure.caption;
  document.querySelector("output[for=smoothing]").textContent = weight ? weight.toFixed(2) : "none";
  for (const button of document.querySelectorAll("button.pick")) {
    button.setAttribute("aria-pressed", String(pickedRows.includes(Number(button.dataset.row))));
  }
};

const table = await makeTable(data, (row) => {
  const index = pickedRows.indexOf(row);
  if (index < 0) pickedRows.push(row);
  else pickedRows.splice(index, 1);
  showPicked();
});
table.on("draw", showPicked);
for (const id of ["smoothing", "curves-by"]) document.getElementById(id).addEventListener("input", showPicked);
showPicked();

const webGL = hasWebGL();
const drawFigures = () => {
  for (const [id, content] of Object.entries(data.figures)) {
    const figure = webGL ? content : withoutWebGL(id, content);
    if (figure) draw(Plotly, id, figure);
  }
};
drawFigures();
const redraw = () => { for (const [id, figure] of drawnFigures) draw(Plotly, id, figure); };
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => { applyColourScheme(); redraw(); });
// The leaderboard is wider than paper with these. Who wants them has leaderboard.csv.
const NOT_ON_PAPER = ["CPU", "CPU %", "memory %", "witness"].map((head) => heads.indexOf(head)).filter((index) => index >= 0);
let leftOut = [];
const fitToPaper = () => {
  if (onPaper) leftOut = leftOut.concat(NOT_ON_PAPER.filter((index) => table.column(index).visible()));
  for (const index of leftOut) table.column(index).visible(!onPaper);
  if (!onPaper) leftOut = [];
};
const opened = new Set(); // of what is folded, what the reader had opened
const print = (starts) => {
  onPaper = starts;
  for (const details of document.querySelectorAll("details")) {
    if (starts && details.open) opened.add(details);
    details.open = starts || opened.has(details);
  }
  if (!starts) opened.clear();
  applyColourScheme();
  fitToPaper();
  redraw();
};
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));

// --- live ---------------------------------------------------------------------------------------------------------

// The leaderboard keeps its filter, its order and its page, the picked curves stay picked, and the reader's place stays.

const KEPT = "sweep-place";

// A column came or went: the page is loaded anew, and the reader finds their filter, order and place again.
const loadAnew = () => {
  const order = table.order().map(([column, direction]) => [heads[column], direction]);
  sessionStorage.setItem(KEPT, JSON.stringify({ filter: table.search(), order, top: scrollY }));
  location.reload();
};

const findPlace = () => {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) || "null");
  sessionStorage.removeItem(KEPT);
  if (!kept) return;
  const order = kept.order.map(([head, direction]) => [heads.indexOf(head), direction]).filter(([column]) => column >= 0);
  table.search(kept.filter).order(order).draw();
  scrollTo(0, kept.top);
};

const takeNews = async (news) => {
  const newTable = news.getElementById("leaderboard-table");
  if (headsOf(newTable).join("\n") !== heads.join("\n")) {
    loadAnew();
    return;
  }
  // Who has picked nothing themselves sees the curves of the best, also when that is another one, or the first.
  const own = pickedRows.length !== 1 || pickedRows[0] !== 0;
  const pickedTrials = data.curves.length && own ? pickedRows.map((row) => data.trials[row]) : null;
  const unfolded = [...document.querySelectorAll("main details")].map((details) => details.open);
  const top = scrollY;
  Object.assign(data, JSON.parse(await decompressed("data", news)));
  const rows = pickedTrials ? pickedTrials.map((trial) => data.trials.indexOf(trial)).filter((row) => row >= 0) : [0];
  pickedRows.splice(0, pickedRows.length, ...(data.curves.length ? rows : []));
  for (const part of ["header", "main"]) {
    const now = document.querySelector(part);
    for (const element of [...now.children]) if (!element.contains(document.getElementById("leaderboard-table"))) element.remove();
    const kept = now.firstElementChild;
    let before = true;
    for (const element of [...news.querySelector(part).children]) {
      if (element.contains(newTable)) {
        before = false;
        kept.querySelector("p").replaceWith(document.adoptNode(element.querySelector("p")));
      } else if (before && kept) kept.before(document.adoptNode(element));
      else now.append(document.adoptNode(element));
    }
  }
  document.querySelectorAll("main details").forEach((details, index) => { details.open = Boolean(unfolded[index]); });
  table.clear().rows.add(rowsOf(newTable)).draw("full-hold");
  showPicked();
  drawFigures();
  scrollTo(0, top);
};

const follow = async () => {
  const pause = 1000 * Math.min(10, Number(document.documentElement.dataset.live));
  let tag = "", silent = "";
  const live = () => document.getElementById("live");
  for (;;) {
    await new Promise((done) => setTimeout(done, pause));
    if (document.hidden) continue; // who does not look is no reader
    try {
      const reply = await fetch("news", { headers: tag ? { "If-None-Match": tag } : {} });
      if (reply.status !== 304 && !reply.ok) throw new Error(String(reply.status));
      if (silent) live().textContent = silent;
      silent = "";
      if (reply.status === 304) continue;
      tag = reply.headers.get("ETag");
      await takeNews(new DOMParser().parseFromString(await reply.text(), "text/html"));
    } catch {
      silent ||= live().textContent;
      live().textContent = "There is no answer: this is as of the time above.";
    }
  }
};

document.documentElement.dataset.ready = "yes";
if (document.documentElement.dataset.live) {
  findPlace();
  follow();
}

