/**
 * The page's texts. Run from source they are put together on the spot; the build puts the finished texts in place of
 * this module, so that the shipped program is one file.
 */
import type { PageFiles } from "../services/LocalServer.ts"

export const pageFiles = async (): Promise<PageFiles> => {
  const { buildPage } = await import("../../scripts/buildPage.ts")
  return buildPage()
}
