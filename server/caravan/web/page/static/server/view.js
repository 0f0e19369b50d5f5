// The Server view: how busy it is, how fast, how long people wait, and its models.
import { classes, html, useEffect, useState, useStore } from "../lib/preact.js";
import { BarChart } from "./bar_chart.js";
import { histogramOf, since } from "./histogram.js";
import { LineChart } from "./line_chart.js";
import { ModelsTable } from "./models_table.js";
import { follow, readings } from "./readings.js";
import { percent, size, time, whole } from "./words.js";

const WAITS = [
  { name: "caravan_request_queue_time_seconds", title: "In the queue", about: "Before the prompt was begun" },
  { name: "caravan_time_to_first_token_seconds", title: "To the first token", about: "From a request's arrival" },
  { name: "caravan_inter_token_latency_seconds", title: "Between two tokens", about: "Within a stream" },
  { name: "caravan_e2e_request_latency_seconds", title: "To the end", about: "From a request's arrival" },
];

export function View() {
  useEffect(follow, []);
  const { status, refusal, error, sample } = useStore(readings, (state) => state);
  return html`
    <div class="page server">
      <h1>Server</h1>
      ${error && html`<p class="notice is-error" role="alert">${error}</p>`}
      ${status && html`<p class="quiet">${summary(status)}</p>`}
      ${refusal && html`<${NoAdministrator} refusal=${refusal} />`}
      ${sample && html`<${Numbers} /><${Lines} />`}
      ${status && html`<h2>Models</h2><${ModelsTable} models=${status.models} />`}
      ${sample && html`<${Waits} />`}
      ${!sample && !error && html`<p class="quiet">Asking…</p>`}
    </div>
  `;
}

/** @param {import("./readings.js").Status} status */
function summary({ version, uptime_seconds: uptime, memory_bytes: memory }) {
  return `Caravan ${version}, running for ${time(uptime)}, with ${size(memory)} of memory.`;
}

/** @param {{ refusal: string }} props */
function NoAdministrator({ refusal }) {
  return html`
    <p class="notice">
      ${refusal} So this page has the numbers of the models that you may use, and cannot load or unload any.
    </p>
  `;
}

function Numbers() {
  const { sample, points } = useStore(readings, (state) => state);
  const last = points.at(-1);
  if (!sample || !last) return null;
  const numbers = [
    ["Running", whole(sample.running)],
    ["Waiting", whole(sample.waiting)],
    ["Tokens/s written", whole(last.written)],
    ["Cells in use", percent(last.share)],
    ["From memory", sample.prompt ? percent(sample.cached / sample.prompt) : "–"],
  ];
  return html`
    <dl class="numbers">
      ${numbers.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
  `;
}

function Lines() {
  const points = useStore(readings, (state) => state.points);
  const times = points.map(({ at }) => at);
  const last = points[points.length - 1];
  const line = (/** @type {string} */ name, /** @type {"running" | "waiting" | "written" | "read" | "share"} */ field) => ({
    name,
    values: points.map((point) => point[field]),
    shown: field === "share" ? percent(last[field]) : whole(last[field]),
  });
  return html`
    <section class="charts" aria-label="The last two minutes">
      <${LineChart} title="Tokens per second" times=${times}
        lines=${[{ kind: "first", ...line("written", "written") }, { kind: "second", ...line("read", "read") }]} />
      <${LineChart} title="Requests" times=${times} most=${1}
        lines=${[{ kind: "first", ...line("running", "running") }, { kind: "second", ...line("waiting", "waiting") }]} />
      <${LineChart} title="KV cache" times=${times} most=${1} lines=${[{ kind: "first", ...line("cells in use", "share") }]} />
    </section>
  `;
}

function Waits() {
  const [isAll, setIsAll] = useState(true);
  const { series, first } = useStore(readings, (state) => state);
  if (!series) return null;
  const choice = (/** @type {boolean} */ all, /** @type {string} */ text) => html`
    <button type="button" class=${classes("choice")} aria-pressed=${String(isAll === all)} onClick=${() => setIsAll(all)}>
      ${text}
    </button>
  `;
  return html`
    <div class="code-head">
      <h2>How long people wait</h2>
      <div class="choices" role="group" aria-label="Since when">
        ${choice(true, "Since the start")}${choice(false, "Since this view was first opened")}
      </div>
    </div>
    <section class="charts is-pairs" aria-label="How long people wait">
      ${WAITS.map(({ name, title, about }) => {
        const now = histogramOf(series, name);
        const histogram = isAll || !first ? now : since(now, histogramOf(first, name));
        return html`<${BarChart} key=${name} title=${title} about=${about} histogram=${histogram} />`;
      })}
    </section>
  `;
}
