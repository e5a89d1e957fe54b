/** Multicast with repairs. It has to be told its rate, which is chosen near the limit of the port. */
import { missingPrograms, type Tool } from "./Tool.ts"

/** Of the port's rate; more is lost in the switch. */
const rateShare = 0.97

export const tool: Tool = {
  name: "uftp",
  missing: () => missingPrograms("uftp", "uftpd"),
  enter: (field) => {
    let share = () => {}
    return {
      armTeacher: async () => {
        const students = Array.from({ length: field.students }, (_, i) => field.address(i + 1))
        const kbits = String(Math.floor((field.bitsPerSecond * rateShare) / 1_000))
        const { go, ready } = field.hold(
          0,
          [
            ..."uftp -b 1420 -C none -B 1000000 -r 0.2 -I".split(" "),
            field.address(0),
            "-R",
            kbits,
            "-H",
            students.join(","),
            field.file
          ],
          { marks: false }
        )
        share = go
        await ready
      },
      armStudent: async (index) => {
        const home = field.home(index)
        const words = ["-I", field.address(index), "-D", home, "-L", `${home}/uftpd.log`, "-s", field.hook]
        field.start(index, ["uftpd", "-d", "-B", "4000000", ...words])
        return () => {}
      },
      share: () => share(),
      copy: (index) => `${field.home(index)}/data.bin`
    }
  }
}
