// A browser that reports every error, every violation of the pages' policy and every answer that should not be.
'use strict';

const WITHIN = 30000;

module.exports = async function visitor({ link, chromium, playwright, pictures }) {
  const base = new URL(link).origin;
  const findings = [];
  const complain = (what) => { findings.push(what); console.log(what); };
  const demand = (holds, what) => { if (!holds) complain(what); };
  const browser = await require(playwright).chromium.launch({ executablePath: chromium, args: ['--no-sandbox'] });

  // Runs before the page's own script: what violates the policy is said, and the page's stream can be spoken through.
  const watch = () => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    const Real = window.EventSource;
    window.EventSource = class extends Real {
      constructor(address) {
        super(address);
        window.stream = this;
        this.addEventListener('parts', (event) => { window.parts ??= event.data; });
      }
    };
  };

  async function context(visit, more) {
    const made = await browser.newContext({ storageState: visit, viewport: { width: 1280, height: 900 }, ...more });
    made.setDefaultTimeout(WITHIN);
    await made.addInitScript(watch);
    return made;
  }

  // Opens a page; `expected` are the answers that are part of the story.
  async function open(context, path, expected = []) {
    const page = await context.newPage();
    page.on('console', (said) => {
      const isExpected = expected.some((status) => said.text().includes(`status of ${status}`));
      if (said.type() === 'error' && !isExpected) complain(`${page.url()}: console: ${said.text()}`);
    });
    page.on('pageerror', (error) => complain(`${page.url()}: ${error.message}`));
    page.on('response', (told) => { if (told.status() >= 500) complain(`${told.url()}: answered ${told.status()}`); });
    await page.goto(base + path);
    return page;
  }

  // Follows a link that makes a user, and returns the visit that a cookie remembers.
  async function enter(link, name) {
    const fresh = await context(undefined);
    const page = await open(fresh, new URL(link).pathname);
    await page.fill('#name', name);
    await page.fill('#password', 'a password for one test');
    await page.click('form button');
    await page.waitForURL((url) => !url.pathname.startsWith('/login'));
    const visit = await fresh.storageState();
    await fresh.close();
    return visit;
  }

  const state = (page, word) => page.waitForSelector(`#live-state[data-state="${word}"]`);
  const live = (page) => state(page, 'on');

  async function picture(page, name) {
    if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
  }

  return { base, browser, context, demand, enter, findings, live, open, picture, pictures, state };
};
