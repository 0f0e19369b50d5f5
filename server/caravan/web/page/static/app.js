// The frame around the views: the bar with its links, the model, the theme; the question for a key.
import { loadModels } from "./api/models.js";
import { KeyDialog } from "./lib/key_dialog.js";
import { announcements } from "./lib/announce.js";
import { Guard } from "./lib/guard.js";
import { classes, html, render, useEffect, useRef, useState, useStore, Icon } from "./lib/preact.js";
import { ICONS } from "./lib/icons.js";
import { route } from "./lib/router.js";
import { nextTheme, themeName, themeStore } from "./lib/theme.js";
import { ModelMenu } from "./params/model_menu.js";
import { loadSpecs } from "./params/specs.js";
import { VIEWS } from "./views.js";

function App() {
  const view = useStore(route, (state) => state.view);
  const entry = VIEWS.find(({ id }) => id === view) ?? VIEWS[0];
  useEffect(() => {
    document.title = `${entry.title} · Caravan`;
  }, [entry]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the view</a>
    <${TopBar} current=${entry.id} />
    <main id="main" class=${`view view-${entry.id}`} tabindex="-1"><${Shown} key=${entry.id} entry=${entry} /></main>
    <${Announced} />
    <${KeyDialog} />
  `;
}

/** @param {{ current: string }} props */
function TopBar({ current }) {
  const theme = useStore(themeStore, (state) => state.theme);
  const bar = useRef(/** @type {HTMLElement | null} */ (null));
  // A narrow window has no room for all of them.
  useEffect(() => bar.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [current]);
  return html`
    <header class="topbar">
      <span class="brand">Caravan</span>
      <nav class="views" aria-label="Views" ref=${bar}>
        ${VIEWS.map(
          ({ id, title }) => html`
            <a key=${id} href=${`#/${id}`} class=${classes("tab", id === current && "is-current")}
              aria-current=${id === current ? "page" : undefined}>${title}</a>
          `,
        )}
        <a class="tab" href="docs">API</a>
      </nav>
      <div class="topbar-end">
        <${ModelMenu} />
        <button class="icon-button" type="button" onClick=${nextTheme}
          aria-label=${`Theme: ${themeName(theme)}. Change it`} title=${`Theme: ${themeName(theme)}`}>
          <${Icon} path=${ICONS.theme} />
        </button>
      </div>
    </header>
  `;
}

/** A view, as soon as its module is there. @param {{ entry: import("./views.js").ViewEntry }} props */
function Shown({ entry }) {
  const [state, setState] = useState(
    /** @type {{ View?: (props: {}) => any, error?: string }} */ ({}),
  );
  useEffect(() => {
    entry.load().then(
      ({ View }) => setState({ View }),
      (error) => setState({ error: String(error) }),
    );
  }, [entry]);
  if (state.error) return html`<p class="notice is-error" role="alert">This view cannot be loaded. ${state.error}</p>`;
  return state.View ? html`<${Guard}><${state.View} /><//>` : null;
}

function Announced() {
  const sentences = useStore(announcements, (state) => state.sentences);
  return html`
    <div class="heard-only" role="log" aria-live="polite" aria-label="What is written">
      ${sentences.map(({ id, text }) => html`<p key=${id}>${text}</p>`)}
    </div>
  `;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

const place = document.getElementById("app");
if (place) {
  place.textContent = "";
  render(html`<${App} />`, place);
}
loadSpecs();
loadModels();
