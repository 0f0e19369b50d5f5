// A part of the page of which a fault is told, and leaves the rest of the page alone.
import { Component, html } from "./preact.js";

/** @extends {Component<{ children?: any }, { fault: string }>} */
export class Guard extends Component {
  state = { fault: "" };

  /** @param {unknown} error */
  static getDerivedStateFromError(error) {
    return { fault: String(error) };
  }

  /** @param {unknown} error */
  componentDidCatch(error) {
    console.error(error);
  }

  render() {
    if (!this.state.fault) return this.props.children;
    return html`
      <div class="notice is-error" role="alert">
        <p>This view has failed. ${this.state.fault}</p>
        <button type="button" class="button" onClick=${() => this.setState({ fault: "" })}>Try again</button>
      </div>
    `;
  }
}
