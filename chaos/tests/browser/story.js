// The life of rounds as a person sees it. Usage: node story.js JSON (see main.rs); exits 1 with what was found.
'use strict';

const { execFileSync } = require('node:child_process');
const { writeFileSync } = require('node:fs');
const { fit, keyboard, night, tabTo, withoutScript } = require('./looks.js');
const told = JSON.parse(process.argv[2]);

const pathOf = (page) => new URL(page.url()).pathname;
const user = (...words) => execFileSync(told.user[0], [...told.user.slice(1), ...words], { encoding: 'utf8' });
const verdict = (page, word) => page.waitForSelector(`#round-head .tag:has-text("${word}")`);

// A run that stands still lets the next one on its node wait; both are seen, and each ends as the person wants.
async function waitsAndConverges(v, context) {
  const queue = await v.open(context, '/queue');
  await v.live(queue);
  const dump = await v.open(context, '/routines/dump');
  await dump.click('text=Start a round');
  await dump.waitForURL(/\/rounds\//);
  await queue.waitForSelector('#queue .work:has-text("db-1") .tag:has-text("transferring"), #queue .work:has-text("db-1") .tag:has-text("running")');
  const round = await v.open(context, '/routines/nightly');
  await round.click('text=Start a round');
  await round.waitForURL(/\/rounds\//);
  await v.live(round);
  await queue.waitForSelector('#queue tr:has-text("db-1") td[data-name="Waits for"]:has-text("node")');
  await round.waitForSelector('#round-grid .cell:has-text("db-1"):has-text("queued")');
  if (v.pictures) {
    await queue.waitForSelector('#queue .work progress[value]');
    await queue.waitForTimeout(4000);
    await v.picture(queue, 'queue');
    await v.picture(round, 'round');
  }
  await queue.click('#queue .work:has-text("dump") button:has-text("Cancel")');
  await queue.waitForURL(/\/runs\/.*told=cancelling/);
  await queue.waitForSelector('#run-head .tag:has-text("cancelled")');
  v.demand((await queue.textContent('#run-facts ol.steps')).includes('ann'), 'the timeline does not say who cancelled');
  await verdict(dump, 'diverged');
  await verdict(round, 'converged');
  const good = await round.$$eval('#round-grid .cell.good, #round-grid .cell.warn', (all) => all.length);
  v.demand(good === 3, `the grid shows ${good} good nodes after the verdict`);
  await dump.close();
  await queue.close();
  return round;
}

// Started by the keyboard alone; what went wrong is said with its cause and what to do, and a retry mends it while the old run stays.
async function failsAndIsMended(v, context) {
  const page = await v.open(context, '/routines/mail');
  await tabTo(page, 'Start a round', v.demand);
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/rounds\//);
  await verdict(page, 'diverged');
  await page.click('#round-grid .cell');
  await page.waitForURL(/\/runs\//);
  const failed = pathOf(page);
  await v.live(page);
  await page.waitForFunction(() => document.querySelectorAll('#log > div').length > 2);
  const error = await page.textContent('#run-error');
  for (const words of ['code 9', 'Cause', 'Suggested fix']) v.demand(error.includes(words), `the error lacks "${words}": ${error}`);
  v.demand((await page.textContent('#log')).includes(told.hostile), 'the log does not show what the tool said, letter by letter');
  v.demand((await page.$$('#log .t-bad')).length > 0 && (await page.$$('#log .t-warn')).length > 0, 'the log has no colours');
  await v.picture(page, 'run');
  const record = await (await context.request.get(`${v.base}${failed}/incident.md`)).text();
  v.demand(record.startsWith('# Incident') && record.includes('Not yet'), `the incident record is no record: ${record}`);
  const log = await context.request.get(`${v.base}${failed}/log.txt`).then((told) => told.text(), String);
  v.demand(log.includes('spool is not mounted'), `the downloaded log is not the log: ${log}`);
  writeFileSync(told.mended, '');
  await page.click('#run-head button:has-text("Retry")');
  await page.waitForURL(/\/rounds\//);
  await verdict(page, 'converged');
  await page.goto(v.base + failed);
  v.demand(await page.$('#run-head .tag:has-text("failed")'), 'the old run did not stay as it was');
  const mended = await (await context.request.get(`${v.base}${failed}/incident.md`)).text();
  v.demand(mended.includes('Verified by run'), 'the incident record does not know of the repair');
  await page.close();
  return failed;
}

// A search takes effect while it is typed, in any case, without a reload; a card filters and lets go; a page can stand still.
async function searches(v, context) {
  const queue = await v.open(context, '/queue');
  await v.live(queue);
  await queue.evaluate(() => { window.unloaded = false; });
  await queue.fill('input[name=node]', 'WEB-1');
  const only = () => {
    const names = Array.from(document.querySelectorAll('#queue td[data-name="Node"]'), (cell) => cell.textContent.trim());
    return names.length > 0 && names.every((name) => name === 'web-1');
  };
  await queue.waitForFunction(only);
  await queue.selectOption('select[name=type]', 'check');
  await queue.waitForFunction(() => document.querySelectorAll('#queue tbody tr').length === 0);
  v.demand(await queue.evaluate(() => window.unloaded === false), 'the search reloaded the page');
  await queue.click('#live-pause');
  v.demand((await queue.textContent('#live-state')) === 'paused', 'the page does not say that it is paused');
  await queue.click('#live-pause');
  await v.live(queue);
  await queue.goto(`${v.base}/queue`);
  await queue.click('a.tile:has-text("Failed")');
  await queue.waitForURL(/show=failed/);
  const states = await queue.$$eval('#queue td[data-name="Status"]', (all) => all.map((cell) => cell.textContent));
  v.demand(states.length > 0 && states.every((word) => /failed|partial|lost/.test(word)), `the card of failures shows ${states}`);
  v.demand((await queue.$$('a.tile[title]')).length === 4, 'not every card says what it counts');
  await queue.click('a.tile:has-text("Failed")');
  await queue.waitForURL((url) => !url.search.includes('show'));
  await queue.close();
}

// Somebody who only looks has no button, and an open page says so when he may not look any more.
async function onlyLooks(v, failed) {
  const visit = await v.enter(user('invite', '--role', 'viewer').match(/http\S+/)[0], 'vera');
  const context = await v.context(visit);
  for (const path of ['/queue', '/routines/nightly', '/nodes/web-1', '/rounds', failed]) {
    const page = await v.open(context, path);
    await v.live(page);
    v.demand((await page.$$('form[method=post], button.danger')).length === 0, `${path} has a button for somebody who only looks`);
    await page.close();
  }
  const board = await v.open(context, '/', [401]);
  await v.live(board);
  const account = await v.open(context, '/account');
  await account.click('text=Log out');
  await account.waitForURL(/\/login/);
  await v.state(board, 'over');
  v.demand(await board.isVisible('#over'), 'an open page does not say that its person has logged out');
  await board.click('#over a');
  await board.waitForURL(/\/login\?next=/);
  await board.fill('#name', 'vera');
  await board.fill('#password', 'a password for one test');
  await board.click('form button');
  await board.waitForURL((url) => url.pathname === '/');
  await v.live(board);
  user('remove', 'vera');
  await v.state(board, 'over');
  await context.close();
}

(async () => {
  const v = await require('./visitor.js')(told);
  // A step that fails does not keep the others from being looked at.
  const step = async (name, act) => {
    const began = Date.now();
    const made = await act().catch((error) => v.demand(false, error.stack));
    console.log(`${name} took ${Date.now() - began} ms`);
    return made;
  };
  const visit = await v.enter(told.link, 'ann');
  const context = await v.context(visit);
  const round = await step('waitsAndConverges', () => waitsAndConverges(v, context));
  const failed = await step('failsAndIsMended', () => failsAndIsMended(v, context));
  await step('searches', () => searches(v, context));
  await step('onlyLooks', () => onlyLooks(v, failed));
  await step('keyboard', () => keyboard(v, visit));
  await step('withoutScript', () => withoutScript(v, visit));
  await step('night', () => night(v, visit, failed));
  const pages = ['/', '/queue', '/rounds', '/nodes', '/nodes/db-1', '/routines', '/routines/nightly', '/monitors', '/monitors/shop-db',
    '/alerts', '/trends', '/report', '/snapshots', '/account'];
  await step('fit', () => fit(v, visit, [...pages, round && pathOf(round), failed].filter(Boolean)));
  await v.browser.close();
  console.log(v.findings.length ? `${v.findings.length} findings` : 'nothing to complain of');
  process.exit(v.findings.length ? 1 : 0);
})();
