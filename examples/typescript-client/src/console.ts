/** Layout of the demo's output, and the tally of its checks. */

const LABEL_WIDTH = 20;
const RULE = "─".repeat(78);
const MARGIN = "  ";

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const CODES: Record<Style, [open: number, close: number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Text from elsewhere, without the control characters that would drive the terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g, "\uFFFD");
}

export function show(value: unknown, limit = 96): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  const line = printable(text).replace(/\s+/g, " ");
  const letters = [...line];
  return letters.length > limit ? `${letters.slice(0, limit - 1).join("")}…` : line;
}

export class Console {
  passed = 0;
  readonly failures: string[] = [];
  readonly #out: NodeJS.WriteStream;
  readonly #colours: boolean;
  readonly #startedAt = performance.now();
  #sections = 0;
  #title = "";
  #inText = false;

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
    this.#colours = out.isTTY === true && !process.env.NO_COLOR;
  }

  banner(title: string, fields: Record<string, unknown>): void {
    this.#line(this.#paint("bold", title));
    for (const [label, value] of Object.entries(fields)) this.field(label, value);
  }

  section(title: string): void {
    this.#sections += 1;
    this.#title = `${this.#sections}. ${title}`;
    this.#line();
    this.#line(this.#paint("cyan", RULE));
    this.#line(this.#paint("bold", this.#title));
    this.#line(this.#paint("cyan", RULE));
  }

  field(label: string, value: unknown): void {
    this.#line(`${MARGIN}${this.#paint("dim", label.padEnd(LABEL_WIDTH))} ${show(value)}`);
  }

  /** One HTTP exchange: `→ POST /messages  202 in 12 ms`. */
  exchange(method: string, path: string, outcome: string, ms: number): void {
    const call = `${method} ${path}`;
    this.#line(this.#paint("dim", `${MARGIN}→ ${call}  ${outcome} in ${Math.round(ms)} ms`));
  }

  note(text: string): void {
    this.#line(`${MARGIN}${this.#paint("yellow", "·")} ${printable(text)}`);
  }

  /** Counts and shows a check; `seen` tells what was there instead when it fails. */
  check(holds: boolean, what: string, seen?: unknown): boolean {
    if (holds) {
      this.passed += 1;
      this.#line(`${MARGIN}${this.#paint("green", "✓")} ${what}`);
    } else {
      const saw = seen === undefined ? "" : ` (saw ${show(seen, 240)})`;
      this.failures.push(`${this.#title}: ${what}${saw}`);
      this.#line(`${MARGIN}${this.#paint("red", `✗ ${what}${saw}`)}`);
    }
    return holds;
  }

  /** A piece of streamed text, written at once, in a block of its own. */
  text(piece: string, faint = false): void {
    const border = `${MARGIN}${this.#paint("dim", "│")} `;
    const text = printable(piece);
    if (!this.#inText && text !== "") this.#out.write(border);
    this.#inText ||= text !== "";
    this.#out.write(
      text
        .split("\n")
        .map((line) => (faint && line !== "" ? this.#paint("dim", line) : line))
        .join(`\n${border}`),
    );
  }

  /** Prints the tally; true when every check passed. */
  summary(): boolean {
    const { failures } = this;
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(1);
    this.#line();
    this.#line(this.#paint("cyan", RULE));
    for (const failure of failures) this.#line(this.#paint("red", `✗ ${failure}`));
    const tally = `${this.passed} checks passed, ${failures.length} failed`;
    const style = failures.length === 0 ? "green" : "red";
    this.#line(`${this.#paint(style, tally)} ${this.#paint("dim", `(${seconds} s)`)}`);
    return failures.length === 0;
  }

  #line(text = ""): void {
    this.#out.write(this.#inText ? `\n${text}\n` : `${text}\n`);
    this.#inText = false;
  }

  #paint(style: Style, text: string): string {
    if (!this.#colours) return text;
    const [open, close] = CODES[style];
    return `\u001B[${open}m${text}\u001B[${close}m`;
  }
}
