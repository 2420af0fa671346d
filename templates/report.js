// The page's own script: unpacks what is in the page, draws the figures, makes the leaderboard sortable. Nothing is
// fetched, and no text of a person's is ever handled as markup.

const unpacked = async (id) => {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};

const asScript = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));

const loadPlotly = async () => {
  const script = document.createElement("script");
  script.src = asScript(await unpacked("plotly"));
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

const themed = (layout) => {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const line = style.getPropertyValue("--line").trim();
  const made = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true };
  made.font = { color: ink, family: "system-ui, sans-serif", size: 13 };
  for (const name of Object.keys(layout).filter((one) => AXIS.test(one))) {
    made[name] = { ...layout[name], gridcolor: line, zerolinecolor: line, linecolor: line };
  }
  return made;
};

const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d"] };
const drawn = new Map();

const draw = (Plotly, id, figure) => {
  const place = document.getElementById(`plot-${id}`);
  if (!place) return;
  drawn.set(id, figure);
  const narrow = place.clientWidth < 600;
  const layout = themed(figure.layout);
  if (narrow) {
    layout.font.size = 10;
    layout.annotations = (layout.annotations || []).map((one) => ({ ...one, font: { size: 9 } }));
  }
  Plotly.react(place, figure.data, layout, CONFIG);
};

const withoutWebGL = (id, figure) => {
  if (id === "parallel") {
    document.getElementById("plot-parallel").textContent = "This figure needs WebGL, which this browser does not have.";
    return null;
  }
  return { ...figure, data: figure.data.map((one) => (one.type === "scattergl" ? { ...one, type: "scatter" } : one)) };
};

// --- learning curves --------------------------------------------------------------------------------------------

const DASHES = ["solid", "dash", "dot", "dashdot"];
const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999"];

const curvesOf = (data, picked) => {
  const names = [...new Set(picked.flatMap((row) => Object.keys(data.curves[row] || {})))];
  const traces = [];
  picked.forEach((row, place) => {
    for (const [name, runs] of Object.entries(data.curves[row] || {})) {
      const axis = names.indexOf(name) + 1;
      runs.forEach(({ x, y }, run) => traces.push({
        type: "scatter", mode: "lines", y, x: x || y.map((_, epoch) => epoch + 1),
        yaxis: axis > 1 ? `y${axis}` : "y", name: `trial ${data.trials[row]}`, legendgroup: String(row),
        showlegend: axis === 1 && run === 0,
        line: { color: COLOURS[place % COLOURS.length], dash: DASHES[Math.floor(place / COLOURS.length) % 4], width: run ? 1 : 2 },
      }));
    }
  });
  const lowest = names.length > 1 ? `y${names.length}` : "y";
  const layout = {
    height: 130 + 190 * Math.max(1, names.length), margin: { t: 30, r: 20, b: 50 }, showlegend: true,
    xaxis: { title: { text: "epoch" }, anchor: lowest },
  };
  names.forEach((name, place) => {
    const room = 1 / names.length;
    layout[place ? `yaxis${place + 1}` : "yaxis"] = {
      title: { text: escaped(name) }, domain: [1 - (place + 1) * room + (place + 1 < names.length ? 0.06 : 0), 1 - place * room],
    };
  });
  return { data: traces, layout };
};

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// --- the leaderboard --------------------------------------------------------------------------------------------

const tabled = async (data, onPick) => {
  const source = asScript(await unpacked("datatables"));
  const { default: DataTable } = await import(source);
  const table = document.getElementById("board");
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]).map((row, place) => [...row.cells].map((cell) => cell.textContent.trim()).concat(place));
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const last = heads.length;
  for (const body of [...table.tBodies].slice(1)) body.remove();
  table.tBodies[0].replaceChildren();
  const text = DataTable.render.text().display;
  const trial = heads.indexOf("trial");
  const columns = heads.map((head, column) => ({
    title: text(head),
    render: (value, kind, row) => {
      const keys = data.keys[column];
      if (kind === "sort" || kind === "type") return keys ? keys[row[last]] ?? data.missing[column] : value;
      if (kind !== "display") return value;
      return column === trial && data.curves.length
        ? `<button type="button" class="pick" data-row="${row[last]}" aria-pressed="false">${text(value)}</button>`
        : text(value);
    },
  }));
  const made = new DataTable(table, {
    data: rows, columns, deferRender: true, pageLength: 25, lengthMenu: [10, 25, 100, 1000], order: [],
    autoWidth: false, columnControl: [["search"]], ordering: { indicators: false, handler: true },
    layout: { topStart: { buttons: [{ extend: "colvis", text: "Columns" }] }, topEnd: "search", bottomStart: "info", bottomEnd: "paging" },
    language: { search: "Filter: ", info: "_START_ to _END_ of _TOTAL_" },
  });
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.pick");
    if (button) onPick(Number(button.dataset.row));
  });
  return made;
};

// --- all of it --------------------------------------------------------------------------------------------------

const darken = () => document.documentElement.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
const data = JSON.parse(await unpacked("data"));
document.documentElement.classList.add("scripted");
darken(); // DataTables' own colours go by this class
const Plotly = await loadPlotly();

const picked = data.curves.length ? [0] : [];
const showPicked = () => {
  if (!data.curves.length) return;
  document.getElementById("curves").hidden = false;
  draw(Plotly, "curves", curvesOf(data, picked));
  for (const button of document.querySelectorAll("button.pick")) {
    button.setAttribute("aria-pressed", String(picked.includes(Number(button.dataset.row))));
  }
};

const table = await tabled(data, (row) => {
  const place = picked.indexOf(row);
  if (place < 0) picked.push(row);
  else picked.splice(place, 1);
  showPicked();
});
table.on("draw", showPicked);
showPicked();

const capable = hasWebGL();
for (const [id, content] of Object.entries(data.figures)) {
  const figure = capable ? content : withoutWebGL(id, content);
  if (figure) draw(Plotly, id, figure);
}
const again = () => { for (const [id, figure] of drawn) draw(Plotly, id, figure); };
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => { darken(); again(); });
addEventListener("beforeprint", again);
document.documentElement.dataset.ready = "yes";
