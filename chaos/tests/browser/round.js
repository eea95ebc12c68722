// The whole life of a round as a person sees it in a browser, with a script and without one.
// Usage: node round.js FIRST-LINK CHROMIUM PLAYWRIGHT-CORE [SCREENSHOTS]; exits 1 with what was found.
'use strict';
const [link, chromium, core, shots] = process.argv.slice(2);
const base = new URL(link).origin;
const playwright = require(core);

const WITHIN = 60000;
const findings = [];
const demand = (holds, what) => { if (!holds) findings.push(what); };

// The first person comes in by the link that the coordinator's journal shows, and is remembered by a cookie.
let visit;
async function enters(browser) {
  const context = await browser.newContext();
  const page = await open(context, link.slice(base.length));
  await page.fill('#name', 'ann');
  await page.fill('#password', 'a password for one test');
  await page.click('form button');
  await page.waitForURL((url) => !url.pathname.startsWith('/login'), { timeout: WITHIN });
  visit = await context.storageState();
  await context.close();
}
const visitor = (browser, more) => browser.newContext({ storageState: visit, ...more });

// A page that reports every error and every violation of its own policy.
async function open(context, path) {
  const page = await context.newPage();
  page.on('console', (said) => { if (said.type() === 'error') findings.push(`${path}: console: ${said.text()}`); });
  page.on('pageerror', (error) => findings.push(`${path}: ${error.message}`));
  await page.goto(base + path);
  return page;
}

const live = (page) => page.waitForSelector('#live-state[data-state="on"]', { timeout: WITHIN });

// A form starts a round; its page fills by itself until the verdict.
async function converges(context) {
  const page = await open(context, '/routines/nightly');
  await live(page);
  const queue = await open(context, '/queue');
  await live(queue);
  await page.click('text=Start a round');
  await page.waitForURL(/\/rounds\//, { timeout: WITHIN });
  await page.waitForSelector('#round-head .tag:has-text("converged")', { timeout: WITHIN });
  const cells = await page.$$eval('#round-grid .cell.good, #round-grid .cell.warn', (all) => all.length);
  demand(cells >= 2, `the grid shows ${cells} good nodes after the verdict`);
  await queue.waitForFunction(() => document.querySelectorAll('#queue table tbody tr').length > 0, null, { timeout: WITHIN });
  return { round: page, queue };
}

// A search takes effect while it is typed, in any case, without a reload.
async function searches(queue) {
  await queue.evaluate(() => { window.unloaded = false; });
  await queue.fill('input[name=node]', 'NODE-1');
  const only = () => {
    const names = Array.from(document.querySelectorAll('#queue td[data-name="Node"]'), (cell) => cell.textContent.trim());
    return names.length > 0 && names.every((name) => name.toLowerCase().includes('node-1'));
  };
  await queue.waitForFunction(only, null, { timeout: WITHIN });
  demand(await queue.evaluate(() => window.unloaded === false), 'the search reloaded the page');
  await queue.click('#live-pause');
  demand((await queue.textContent('#live-state')) === 'paused', 'the page does not say that it is paused');
  await queue.click('#live-pause');
  await live(queue);
}

// The page of a run has its log, its life and its record.
async function explains(round, context) {
  await round.click('#round-grid .cell');
  await round.waitForURL(/\/runs\//, { timeout: WITHIN });
  await live(round);
  await round.waitForFunction(() => document.querySelectorAll('#log > div').length > 1, null, { timeout: WITHIN });
  demand((await round.$$('ol.steps li')).length >= 3, 'the timeline has fewer than three steps');
  const record = await context.request.get(round.url().split('?')[0] + '/incident.md');
  demand((await record.text()).startsWith('# Incident'), 'the incident record is no record');
  const log = await context.request.get(round.url().split('?')[0] + '/log.txt');
  demand((await log.text()).includes('phase:'), 'the downloaded log has no phase');
}

// A page that stays open through many updates does not grow.
async function stays(context) {
  const page = await open(context, '/');
  await live(page);
  const size = () => page.evaluate(() => document.getElementsByTagName('*').length);
  const before = await size();
  for (let turn = 0; turn < 5; turn += 1) {
    await page.click('#live-pause');
    await page.click('#live-pause');
    await live(page);
    await page.waitForTimeout(700);
  }
  const after = await size();
  demand(after <= before + 50, `the page grew from ${before} to ${after} elements`);
  demand((await page.$$('svg.strip rect')).length >= 90, 'the strips were lost');
}

async function fits(browser) {
  for (const colorScheme of ['light', 'dark']) for (const width of [1280, 320]) {
    const context = await visitor(browser, { viewport: { width, height: 800 }, colorScheme });
    for (const path of ['/', '/queue', '/rounds', '/nodes', '/nodes/node-1', '/routines', '/routines/nightly', '/alerts', '/trends', '/report']) {
      const page = await open(context, path);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      demand(wide <= 0, `${path} is ${wide} pixels wider than a window of ${width}`);
      if (shots) await page.screenshot({ path: `${shots}/${path.replace(/\W+/g, '_')}-${colorScheme}-${width}.png`, fullPage: true });
      await page.close();
    }
    await context.close();
  }
}

// Without any script the same forms do the same.
async function withoutScript(browser) {
  const context = await visitor(browser, { javaScriptEnabled: false });
  const page = await open(context, '/routines/nightly');
  await page.selectOption('select[name=node]', 'node-1');
  await page.click('text=Start a round');
  demand(/\/rounds\//.test(page.url()), 'without a script the form leads nowhere');
  for (let turn = 0; turn < 120 && !(await page.$('#round-head .tag:has-text("converged")')); turn += 1) {
    await page.waitForTimeout(500);
    await page.reload();
  }
  demand(await page.$('#round-head .tag:has-text("converged")'), 'without a script the verdict never came');
  await page.goto(base + '/queue?node=NODE-1&type=backup');
  demand((await page.$$('#queue tbody tr')).length > 0, 'without a script the filter finds nothing');
  await context.close();
}

(async () => {
  const browser = await playwright.chromium.launch({ executablePath: chromium, args: ['--no-sandbox'] });
  try {
    await enters(browser);
    const context = await visitor(browser);
    const { round, queue } = await converges(context);
    await searches(queue);
    await explains(round, context);
    await stays(context);
    await withoutScript(browser);
    await fits(browser);
  } catch (error) {
    findings.push(String(error));
  }
  await browser.close();
  process.stdout.write(findings.length ? findings.join('\n') + '\n' : 'nothing to complain of\n');
  process.exit(findings.length ? 1 : 0);
})();
