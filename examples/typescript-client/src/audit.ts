import { type StreamEvent, type TerminalEvent, isTerminal } from "agentq-client";

/** Follows one message's events and holds them against what the API promises about them. */
export class StreamAudit {
  /** The ids of stored events, in the order of arrival. */
  readonly ids: number[] = [];
  /** The data of stored events as JSON, by id, to compare two readings of the same stream. */
  readonly stored = new Map<number, string>();
  readonly terminals: TerminalEvent[] = [];
  /** The content of the current attempt, by message. */
  readonly #content = new Map<string, string>();
  chunks = 0;
  attempt = 0;
  wasReset = false;
  wasInterrupted = false;
  /** What was wrong with chunk indexes; empty when nothing was. */
  readonly misnumbered: string[] = [];
  readonly afterTheEnd: string[] = [];

  #nextIndex: number | undefined = 0;
  #mayRestart = false;

  see(event: StreamEvent): void {
    if (this.terminals.length > 0) this.afterTheEnd.push(event.type);
    if (event.id !== null) {
      this.ids.push(event.id);
      this.stored.set(event.id, JSON.stringify(event.data));
    }
    switch (event.type) {
      case "processing":
        this.attempt = event.attempt;
        this.#mayRestart = true;
        break;
      case "retry":
        this.#restart();
        break;
      case "reset":
        this.#restart();
        this.wasReset = true;
        this.#content.set("", event.text);
        this.#nextIndex = undefined; // counted from wherever the log begins now
        break;
      case "content":
      case "reasoning":
      case "toolCall":
      case "toolResult":
      case "discard":
        this.#number(event.index);
        this.chunks += 1;
        if (event.type === "content") this.#add(event.message ?? "", event.text);
        else if (event.type === "discard") this.#content.delete(event.message ?? "");
        break;
      case "interrupted":
        this.wasInterrupted = true;
        break;
      default:
        if (isTerminal(event)) this.terminals.push(event);
    }
  }

  get terminal(): TerminalEvent | undefined {
    return this.terminals[0];
  }

  idsAscend(): boolean {
    return this.ids.every((id, at) => {
      const before = at === 0 ? 0 : Number(this.ids[at - 1]);
      return Number.isInteger(id) && id > before;
    });
  }

  /** Ids are 1..n, or go on from `after`; a reset is the one excuse for a gap. */
  idsHaveNoGap(after = 0): boolean {
    return this.wasReset || this.ids.every((id, at) => id === after + at + 1);
  }

  /** What is left of the current attempt's content. */
  get content(): string {
    return [...this.#content.values()].join("");
  }

  /** An interrupted step is run again, and what it had shown is not followed here. */
  resultMatches(result: string): boolean {
    return this.wasInterrupted ? this.content.endsWith(result) : this.content === result;
  }

  #add(message: string, text: string): void {
    this.#content.set(message, (this.#content.get(message) ?? "") + text);
  }

  #number(index: number): void {
    if (this.#mayRestart && index === 0) this.#restart();
    this.#mayRestart = false;
    if (this.#nextIndex !== undefined && index !== this.#nextIndex) {
      this.misnumbered.push(`${index} instead of ${this.#nextIndex}`);
    }
    this.#nextIndex = index + 1;
  }

  #restart(): void {
    this.#content.clear();
    this.chunks = 0;
    this.#nextIndex = 0;
    this.#mayRestart = false;
  }
}
