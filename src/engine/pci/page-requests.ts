/** Answers to a page request group, with their codes in a PRG Response message. */
export const responseCodes = { success: 0x0, 'invalid request': 0x1, failure: 0xf } as const;
export type PageResponseCode = keyof typeof responseCodes;

/** Outstanding page request allocation that drivers commonly grant. */
export const ALLOCATION = 32;

/** A group that waits for its answer. */
export interface PageGroup {
  readonly group: number;
  /** -1: without PASID. */
  readonly pasid: number;
  /** Requests sent; each holds a credit until the answer. */
  readonly pages: number;
  /** The last request was sent, so an answer is due. */
  readonly closed: boolean;
}

/** What the device was told about a group. */
export interface PageResponse {
  readonly group: number;
  readonly code: PageResponseCode;
  /** PASID on the message, -1: none. */
  readonly pasid: number;
}

export interface PageRequestsSnapshot {
  readonly enabled: boolean;
  readonly allocation: number;
  readonly failed: boolean;
  readonly unexpected: boolean;
  readonly groups: readonly PageGroup[];
  readonly answers: readonly PageResponse[];
}

/**
 * The page request interface of a function: its enable bit, its credits, and the groups that wait for an answer.
 * Source: PCI Express base specification, 10.4.1, 10.4.2 and 10.5.2 (PRI capability).
 */
export class PageRequests {
  /** Enable bit. A function that has the capability starts with it on, as an earlier driver may have left it. */
  enabled: boolean;
  /** Page requests that may be outstanding at once. */
  allocation = ALLOCATION;
  /** Status bit Response Failure: an answer of that code has switched the interface off. */
  failed = false;
  /** Status bit Unexpected Page Request Group Index: an answer came that no group was waiting for. */
  unexpected = false;
  /** Status bit PRG Response PASID Required: an answer to a request with PASID must carry it too. */
  readonly pasidRequired: boolean;
  private readonly groups = new Map<number, PageGroup>();
  private readonly answers = new Map<number, PageResponse>();

  constructor(enabled: boolean, pasidRequired = false) {
    this.enabled = enabled;
    this.pasidRequired = pasidRequired;
  }

  /** Switches the interface on with the number of requests that software allows, forgetting what was before. */
  enable(allocation = ALLOCATION): void {
    this.reset();
    this.allocation = allocation;
    this.enabled = true;
  }

  /** Off, without outstanding requests and status. */
  reset(): void {
    this.enabled = this.failed = this.unexpected = false;
    this.groups.clear();
    this.answers.clear();
  }

  /** Groups that wait, by index. */
  waiting(): readonly PageGroup[] {
    return [...this.groups.values()].sort((a, b) => a.group - b.group);
  }

  /** Requests that hold a credit. */
  get outstanding(): number {
    let n = 0;
    for (const g of this.groups.values()) n += g.pages;
    return n;
  }

  /** The last answer to a group, null while it waits or when it was never used. */
  answerOf(group: number): PageResponse | null {
    return this.answers.get(group) ?? null;
  }

  /** Why a request of this group cannot be sent now; null: it can. */
  refusal(pasid: number, group: number): string | null {
    if (!this.enabled) return this.failed ? 'PRI is off after a response failure' : 'PRI is not enabled in the device';
    const g = this.groups.get(group);
    if (g?.closed) return `group ${group} still waits for its answer`;
    if (g && g.pasid !== pasid) return `group ${group} was begun with another PASID`;
    if (this.outstanding >= this.allocation) return `all ${this.allocation} page requests are outstanding`;
    return null;
  }

  /** A request was sent. */
  sent(pasid: number, group: number, last: boolean): void {
    this.answers.delete(group);
    const pages = (this.groups.get(group)?.pages ?? 0) + 1;
    this.groups.set(group, { group, pasid, pages, closed: last });
  }

  /**
   * A PRG Response arrives. A failure switches the interface off, which then ignores what comes later; an answer to a
   * group that does not wait sets the status bit and nothing else.
   * @param pasid PASID on the message, -1: none
   * @returns whether a group took it
   */
  respond(group: number, pasid: number, code: PageResponseCode): boolean {
    if (!this.enabled) return false;
    const g = this.groups.get(group);
    if (!g || (pasid >= 0 ? pasid !== g.pasid : this.pasidRequired && g.pasid >= 0)) {
      this.unexpected = true;
      return false;
    }
    this.groups.delete(group);
    this.answers.set(group, { group, code, pasid });
    if (code === 'failure') {
      this.failed = true;
      this.enabled = false;
    }
    return true;
  }

  save(): PageRequestsSnapshot {
    const { enabled, allocation, failed, unexpected } = this;
    const answers = [...this.answers.values()].sort((a, b) => a.group - b.group);
    return { enabled, allocation, failed, unexpected, groups: this.waiting(), answers };
  }

  load(s: PageRequestsSnapshot): void {
    this.enabled = s.enabled;
    this.allocation = s.allocation;
    this.failed = s.failed;
    this.unexpected = s.unexpected;
    this.groups.clear();
    for (const g of s.groups) this.groups.set(g.group, g);
    this.answers.clear();
    for (const a of s.answers) this.answers.set(a.group, a);
  }
}
