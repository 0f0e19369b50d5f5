// The views, in the order of the bar. One is a module whose `View` is a component; it is loaded when it is shown.

/**
 * @typedef {{ id: string, title: string, load: () => Promise<{ View: (props: {}) => any }> }} ViewEntry
 */

/** @type {ViewEntry[]} */
export const VIEWS = [
  { id: "chat", title: "Chat", load: () => import("./chat/view.js") },
  { id: "tokens", title: "Tokens", load: () => import("./lab/tokens_view.js") },
  { id: "whatif", title: "What if", load: () => import("./lab/what_if_view.js") },
  { id: "compare", title: "Compare", load: () => import("./lab/compare_view.js") },
  { id: "request", title: "Request", load: () => import("./request/view.js") },
  { id: "server", title: "Server", load: () => import("./server/view.js") },
];
