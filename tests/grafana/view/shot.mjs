// node shot.mjs OUT_FOLDER WIDTH NAME=URL...   one PNG a URL, as high as the page is or as its `most` says
import { chromium } from 'playwright-core';
const [folder, width, ...pages] = process.argv.slice(2);
const quiet = ['--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', ...quiet] });
for (const one of pages) {
  const at = one.indexOf('='), name = one.slice(0, at), url = one.slice(at + 1);
  const page = await browser.newPage({ viewport: { width: Number(width), height: 4400 } });
  page.on('pageerror', e => console.log(name, 'ERROR', e.message.slice(0, 500), (e.stack || '').split('\n').slice(1, 4).join('|').slice(0, 300)));
  await page.goto(url);
  await page.waitForFunction(() => document.title === 'done', null, { timeout: 90000 }).catch(() => console.log(name, 'is not ready after 90 s'));
  const most = Number(new URL(url).searchParams.get('most') || 4400);
  const height = await page.evaluate(() => Math.ceil(Math.max(...[...document.querySelectorAll('.react-grid-item')].map(e => e.getBoundingClientRect().bottom))) + 12);
  await page.screenshot({ path: `${folder}/${name}.png`, clip: { x: 0, y: 0, width: Number(width), height: Math.min(height, most) } });
  await page.close();
}
await browser.close();
